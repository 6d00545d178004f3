package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

const (
	quarantineSuffix = ".bad"
	// quarantineBytes and quarantineFiles bound what is kept of damaged bytes;
	// beyond that damage is only counted.
	quarantineBytes = 64 << 20
	quarantineFiles = 1000
	// quarantineRoom is the most that is put aside with Options.Room: what keeps
	// room for positions is too small for whole segments.
	quarantineRoom = 64 << 10
	// maxHoles bounds what is remembered of damage so as not to count it twice:
	// about 10 MB. Beyond it a second reader counts the same damage again.
	maxHoles = 100_000
	// holeLogEvery is the pause between two lines about damage; Stats has it all.
	holeLogEvery = time.Second
)

// hole is a run of sequences that cannot be read, and the bytes found instead.
type hole struct {
	first, end uint64 // end is the first sequence after it
	weight     uint64 // by the running sums; 0 also when these are unknown
	off, bytes int64
	cause      error
}

func (h hole) count() Count { return Count{Entries: h.end - h.first, Weight: h.weight} }

// damaged counts a hole once, however many readers meet it, and puts its bytes
// aside.
func (l *Log) damaged(seg *segment, f io.ReaderAt, h hole) {
	l.mu.Lock()
	known, seen := l.holes[h.first]
	fresh := h.count()
	if seen && known.end >= h.end && known.weight >= h.weight {
		l.mu.Unlock()
		return
	}
	if seen { // met again, reaching further or with its weight known now
		fresh = Count{Entries: h.end - min(h.end, known.end), Weight: h.weight - min(h.weight, known.weight)}
	}
	if seen || len(l.holes) < maxHoles {
		l.holes[h.first] = h
	}
	l.lost.add(fresh)
	level := slog.LevelError
	if now := time.Now(); now.Sub(l.holeTold) >= holeLogEvery {
		l.holeTold = now
	} else {
		level = slog.LevelDebug
	}
	l.mu.Unlock()
	l.opts.Log.Log(context.Background(), level, "spool: damaged entries", "segment", seg.base, "offset", h.off, "bytes", h.bytes,
		"first", h.first, "entries", fresh.Entries, "weight", fresh.Weight, "error", h.cause)
	if h.bytes > 0 {
		l.quarantine(seg, f, h.off, h.bytes)
	}
}

// forgetHoles drops what is known of holes before first; mu is held.
func (l *Log) forgetHoles(first uint64) {
	for at := range l.holes {
		if at < first {
			delete(l.holes, at)
		}
	}
}

// quarantine copies damaged bytes to a side file named after their place, so that
// finding them again after a restart does not copy them again.
func (l *Log) quarantine(seg *segment, f io.ReaderAt, off, bytes int64) {
	name := fmt.Sprintf("%0*d-%d%s", segmentDigits, seg.base, off, quarantineSuffix)
	if !l.reserveQuarantine(bytes) {
		l.opts.Log.Warn("spool: quarantine is full, bytes not kept", "segment", seg.base, "offset", off, "bytes", bytes)
		return
	}
	put := func() error { return l.putAside(name, f, off, bytes) }
	var err error
	if bytes <= quarantineRoom {
		err = l.opts.inRoom(put)
	} else {
		err = put()
	}
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrExist):
		l.releaseQuarantine(bytes)
	default:
		l.opts.Log.Warn("spool: quarantine", "file", name, "error", err)
		l.releaseQuarantine(bytes)
	}
}

// putAside writes bytes of f from off on to a new file, or leaves none.
func (l *Log) putAside(name string, f io.ReaderAt, off, bytes int64) error {
	out, err := l.fs.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	buf := make([]byte, min(bytes, 64<<10))
	var done int64
	for done < bytes && err == nil {
		part := buf[:min(int64(len(buf)), bytes-done)]
		if readFull(f, part, off+done) != nil {
			clear(part) // unreadable bytes are shown as zeros, at their place
		}
		err = out.writeAt([][]byte{part}, done)
		done += int64(len(part))
	}
	if err = errors.Join(err, out.close()); err != nil {
		return errors.Join(err, l.fs.remove(name))
	}
	return nil
}

func (l *Log) reserveQuarantine(bytes int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.quarantined+bytes > quarantineBytes || l.quarantineCount >= quarantineFiles {
		return false
	}
	l.quarantined += bytes
	l.quarantineCount++
	return true
}

func (l *Log) releaseQuarantine(bytes int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.quarantined -= bytes
	l.quarantineCount--
}
