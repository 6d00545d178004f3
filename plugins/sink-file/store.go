package sinkfile

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// file is what store needs of an *os.File.
type file interface {
	io.ReaderAt
	io.WriterAt
	Stat() (os.FileInfo, error)
	Truncate(size int64) error
	Sync() error
	Close() error
}

// store appends groups of lines to the path's current file. After every call the file ends with the last line of a
// group that is on disk, or, when even cutting it back was impossible, the next call cuts it first.
//
//	closed ── open ──► open ── write ── fsync ──► open, longer
//	   ▲                 └── error: cut back ──┐
//	   └───────────────────────────────────────┘
type store struct {
	names      names
	rotateSize int64
	keep       int
	maxSize    int64
	mode       os.FileMode
	log        *slog.Logger
	open       func(path string, mode os.FileMode) (file, error) // openLocked; tests let it fail

	file file   // nil when closed
	path string // of file, or of the one that was closed by an error
	size int64  // of path, up to the end of the last durable group
}

// append writes whole lines and returns when they are on disk. After an error nothing of them is in the file, and the
// same call may be made again.
func (s *store) append(lines []byte, now time.Time) error {
	if err := s.ready(int64(len(lines)), now); err != nil {
		return err
	}
	_, err := s.file.WriteAt(lines, s.size)
	if err == nil {
		// After a failed fsync the kernel may have dropped the pages, and a second fsync would say that all is well
		// (fsync(2), "EIO"): the lines are cut and written again.
		err = s.file.Sync()
	}
	if err != nil {
		return s.abandon(err)
	}
	s.size += int64(len(lines))
	return nil
}

// abandon cuts the file back and closes it: the next call opens it anew.
func (s *store) abandon(why error) error {
	err := s.file.Truncate(s.size)
	s.close()
	if err != nil {
		return fmt.Errorf("%w; cut back to %d bytes: %w", why, s.size, err)
	}
	return why
}

func (s *store) close() {
	if s.file != nil {
		_ = s.file.Close() // what is in it is on disk
		s.file = nil
	}
}

// ready makes the current file open, and not too long to take more bytes.
func (s *store) ready(more int64, now time.Time) error {
	want := s.names.current(now)
	if s.path != want || s.moved() {
		if err := s.settle(); err != nil {
			return err
		}
		s.close()
		s.path, s.size = "", 0
		defer s.prune()
	}
	if err := s.reopen(want); err != nil {
		return err
	}
	if s.size > 0 && s.size+more > s.rotateSize {
		return s.rotate()
	}
	return nil
}

// moved tells whether somebody has removed or renamed the open file: what is written to it then is not where it is
// looked for.
func (s *store) moved() bool {
	if s.file == nil {
		return false
	}
	ours, err := s.file.Stat()
	if err != nil {
		return true
	}
	there, err := os.Stat(s.path)
	return err != nil || !os.SameFile(ours, there)
}

// settle cuts a file that an error has left with half a line before it is given up for another day's.
func (s *store) settle() error {
	if s.file != nil || s.path == "" {
		return nil
	}
	if _, err := os.Stat(s.path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return s.reopen(s.path)
}

// reopen opens path and cuts what is behind its last durable line.
func (s *store) reopen(path string) error {
	if s.file != nil {
		return nil
	}
	known := s.path == path
	if !known {
		if err := s.repair(path); err != nil {
			return err
		}
	}
	f, err := s.open(path, s.mode)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && known && info.Size() > s.size {
		err = f.Truncate(s.size)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return fmt.Errorf("%s: %w", path, err)
	}
	s.file, s.path = f, path
	if !known || info.Size() < s.size {
		s.size = info.Size()
	}
	return nil
}

// rotate gives the full file its number and opens a new one.
func (s *store) rotate() error {
	all, err := s.names.list()
	if err != nil {
		return err
	}
	if err := os.Rename(s.path, s.names.closed(s.path, all)); err != nil {
		return err
	}
	path := s.path
	s.close()
	s.path, s.size = "", 0
	defer s.prune()
	return s.reopen(path)
}

// prune removes the oldest closed files that keep and max_size do not allow. When it cannot, records are written all
// the same.
func (s *store) prune() {
	all, err := s.names.list()
	if err != nil {
		s.log.Warn("old files are not removed", "error", err)
		return
	}
	var total int64
	for _, e := range all {
		total += e.size
	}
	for len(all) > 1 && all[0].path != s.path {
		crowded := s.keep > 0 && len(all)-1 > s.keep
		large := s.maxSize > 0 && total+s.rotateSize > s.maxSize
		if !crowded && !large {
			return
		}
		oldest := all[0]
		if err := os.Remove(oldest.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.log.Warn("old file is not removed", "error", err)
			return
		}
		s.log.Info("removed the oldest file", "path", oldest.path, "bytes", oldest.size)
		total -= oldest.size
		all = all[1:]
	}
}

// openLocked opens or creates a file, makes its name durable and locks it against other processes that would append.
func openLocked(path string, mode os.FileMode) (file, error) {
	_, missing := os.Stat(path)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, mode)
	if errors.Is(err, os.ErrPermission) {
		return nil, fmt.Errorf("%w: this sink runs as user %d, to whom the file and its directory must belong", err, os.Geteuid())
	}
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%s: another process is writing this file", path)
		}
		return nil, fmt.Errorf("%s: lock: %w", path, err)
	}
	if missing != nil {
		if err := settleNew(f, mode); err != nil {
			_ = f.Close() // nothing was written
			return nil, err
		}
	}
	return f, nil
}

// settleNew gives a new file its permissions, of which the umask that plugins start with has left little, and makes
// its name durable.
func settleNew(f *os.File, mode os.FileMode) error {
	if err := f.Chmod(mode); err != nil {
		return err
	}
	return syncDir(f.Name())
}
