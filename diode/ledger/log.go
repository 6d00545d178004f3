package ledger

import (
	"errors"
	"fmt"
	"io/fs"
)

// Names below the directory.
const (
	logName     = "gaps.ledger"
	newName     = "gaps.ledger.new"
	damagedName = "gaps.ledger.damaged"
)

// compactFrom is the smallest log that is worth compacting, in bytes (ours).
const compactFrom = 1 << 20

// log is the file. Its owner serialises the calls.
type log struct {
	disk     disk
	write    func(func() error) error // Options.Write
	f        file
	size     int64 // what is written and synced
	limit    int64 // Options.MaxBytes
	compact  int64 // size from which a compaction is due
	unsynced bool  // the name of f may not survive a crash
	torn     bool  // a crash left something behind size
}

// append writes one frame of events and syncs it. After an error the log is as
// it was, and the same can be tried again.
func (l *log) append(events []byte) error {
	if l.size+frameHeaderBytes+int64(len(events)) > l.limit {
		return fmt.Errorf("%d bytes: the bound of %d is reached", l.size, l.limit)
	}
	frame := appendFrame(nil, events, l.size)
	err := l.write(func() error { return l.attempt(frame) })
	if err != nil {
		return err
	}
	l.size += int64(len(frame))
	return nil
}

// due says that the log should be compacted instead of taking n more bytes of
// events.
func (l *log) due(n int) bool { return l.size+frameHeaderBytes+int64(n) > l.compact }

// settle makes the log's name durable where it may not be.
func (l *log) settle() error {
	if !l.unsynced {
		return nil
	}
	if err := l.write(l.disk.syncDir); err != nil {
		return err
	}
	l.unsynced = false
	return nil
}

// attempt writes the frame, anew from its first byte: after an error of sync
// nothing is known of what was written before. What an attempt left is never
// longer than the next one, because waiting events only become more.
func (l *log) attempt(frame []byte) error {
	if l.unsynced {
		if err := l.disk.syncDir(); err != nil {
			return err
		}
		l.unsynced = false
	}
	if l.torn {
		if err := l.f.Truncate(l.size); err != nil {
			return err
		}
		l.torn = false
	}
	if _, err := l.f.WriteAt(frame, l.size); err != nil {
		return err
	}
	return l.f.Sync()
}

// replace writes a new log that holds nothing but what frames gives, and puts it
// in the place of the old one. A crash leaves either of them, whole. When it is
// in place with an error, it may not be after a crash: settle makes sure.
func (l *log) replace(frames []byte) (inPlace bool, err error) {
	var f file
	err = l.write(func() error {
		var err error
		f, err = l.prepare(frames)
		return err
	})
	if err != nil {
		return false, err
	}
	if err := l.disk.rename(newName, logName); err != nil {
		return false, errors.Join(err, f.Close(), l.disk.remove(newName))
	}
	// From here on the new file has the name; the old one is gone.
	if l.f != nil {
		_ = l.f.Close() // nobody reads it again
	}
	l.f, l.size, l.torn, l.unsynced = f, int64(len(frames)), false, true
	l.compact = min(l.limit, max(compactFrom, 4*l.size))
	return true, l.settle()
}

// prepare writes the new log under another name.
func (l *log) prepare(frames []byte) (file, error) {
	f, err := l.disk.create(newName)
	if err != nil {
		return nil, err
	}
	if _, err = f.WriteAt(frames, 0); err == nil {
		err = f.Sync()
	}
	if err != nil {
		return nil, errors.Join(err, f.Close(), l.disk.remove(newName))
	}
	return f, nil
}

// keepDamaged puts a copy of a damaged log aside, for whoever wants to find out
// why. The first one stays.
func (l *log) keepDamaged(b []byte) error {
	if _, err := l.disk.read(damagedName); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := l.disk.create(damagedName)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(b, 0)
	return errors.Join(err, f.Sync(), f.Close(), l.disk.syncDir())
}

func (l *log) close() error {
	if l.f == nil {
		return nil
	}
	return l.f.Close()
}
