package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxCursorName is in bytes, so that the file's name stays below what file
// systems allow.
const maxCursorName = 64

// Pauses between attempts to read what the disk will not give.
const (
	readRetryFirst = 100 * time.Millisecond
	readRetryMost  = 2 * time.Second
	// readRetries is how many attempts fail before the record counts as lost, if
	// its neighbours can be read.
	readRetries = 5
)

// Cursor is the position of one consumer. Next and Rewind are for one goroutine
// at a time; Ack and Acked may be called from any.
type Cursor struct {
	log  *Log
	name string
	wake chan struct{} // holds a token when there may be more
	gone chan struct{} // closed by RemoveCursor
	read atomic.Int64  // bytes given out since the last Ack

	mu     sync.Mutex // guards reader, next and faults
	reader *reader
	next   uint64
	faults int // reads failed in a row

	// Guarded by Log.mu:
	acked   uint64
	saved   uint64 // acked, as the file says
	onDisk  bool   // there is a file
	removed bool
	dropped Count
	lag     lagCache
}

// lagCache remembers what was found out about a cursor that does not move.
type lagCache struct {
	at  uint64 // sequence; 0 means nothing
	sum uint64 // running sum before at
	seg *segment
	off int64
}

func newCursor(l *Log, name string, acked uint64) *Cursor {
	return &Cursor{
		log: l, name: name, acked: acked, next: acked + 1,
		wake: make(chan struct{}, 1), gone: make(chan struct{}),
		reader: &reader{log: l, ahead: cursorAhead},
	}
}

// Cursor gives the cursor with that name, the same value each time. A new one is
// made at the first retained sequence; from then on nothing is deleted before it
// has been acknowledged, also after a restart, until RemoveCursor. After a restart
// a cursor begins after what was acknowledged. Names are made of a-z, 0-9, '.',
// '_' and '-'.
func (l *Log) Cursor(name string) (*Cursor, error) {
	if !validCursorName(name) {
		return nil, fmt.Errorf("spool: cursor %q: %w", name, ErrCursorName)
	}
	if l.isClosed() {
		return nil, fmt.Errorf("spool: %w", ErrClosed)
	}
	l.mu.Lock()
	c, found := l.cursors[name]
	if !found {
		c = newCursor(l, name, l.firstSeq.Load()-1)
		l.cursors[name] = c
	}
	l.mu.Unlock()
	if found {
		return c, nil
	}
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	if err := l.saveCursor(c); err != nil {
		// A full disk is a state: the keeper tries again.
		l.opts.Log.Warn("spool: cursor not stored yet", "cursor", name, "error", err)
		l.keeper.changed()
	}
	return c, nil
}

func validCursorName(name string) bool {
	if name == "" || len(name) > maxCursorName || name[0] == '.' {
		return false
	}
	return strings.IndexFunc(name, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789._-", r)
	}) < 0
}

// RemoveCursor forgets a cursor for good; what only it needed may be deleted. A
// Next that waits returns ErrClosed. A name that is not known is no error.
func (l *Log) RemoveCursor(name string) error {
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	l.mu.Lock()
	c, found := l.cursors[name]
	if !found {
		l.mu.Unlock()
		return nil
	}
	delete(l.cursors, name)
	c.removed = true
	onDisk := c.onDisk
	l.mu.Unlock()
	close(c.gone)
	c.mu.Lock()
	c.reader.close()
	c.mu.Unlock()
	l.keeper.changed()
	poke(l.freed)
	l.opts.Budget.roomCame()
	if !onDisk {
		return nil
	}
	if err := errors.Join(l.fs.remove(name+cursorSuffix), l.fs.syncDir()); err != nil {
		return fmt.Errorf("spool: cursor %s: %w", name, err)
	}
	return nil
}

// Next gives the next entry in order of sequence, in buf, which is grown when
// needed, and waits for one until ctx ends. Entries that are damaged or were
// dropped are passed over; Stats counts them, and the jump in Entry.Seq and
// Entry.SumBefore shows them. What the disk does not give for the moment is tried
// again until ctx ends.
func (c *Cursor) Next(ctx context.Context, buf []byte) (Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return Entry{}, fmt.Errorf("spool: cursor %s: %w", c.name, err)
		}
		e, found, err := c.try(buf)
		if found {
			return e, nil
		}
		if errors.Is(err, ErrClosed) {
			return Entry{}, err
		}
		if err != nil {
			c.pause(ctx)
			continue
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
		case <-c.gone:
		case <-c.log.stop:
		}
	}
}

// pause waits before the next attempt to read.
func (c *Cursor) pause(ctx context.Context) {
	t := time.NewTimer(min(readRetryFirst<<min(c.faults, readRetries), readRetryMost))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-c.gone:
	case <-c.log.stop:
	}
}

// try reads the next entry if there is one.
func (c *Cursor) try(buf []byte) (Entry, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.closed() {
			return Entry{}, false, fmt.Errorf("spool: cursor %s: %w", c.name, ErrClosed)
		}
		c.next = max(c.next, c.log.firstSeq.Load())
		if c.next >= c.log.nextSeq.Load() {
			return Entry{}, false, nil
		}
		e, err := c.step(buf)
		if err == nil {
			c.next, c.faults = e.Seq+1, 0
			c.read.Add(int64(len(e.Data)))
			return e, true, nil
		}
		if errors.Is(err, errMoved) {
			continue
		}
		if !c.passable(err) {
			return Entry{}, false, err
		}
		c.next = max(c.next, c.reader.pos.seq)
	}
}

func (c *Cursor) closed() bool {
	select {
	case <-c.gone:
		return true
	default:
		return c.log.isClosed()
	}
}

// step reads the entry at c.next; any error leaves the reader where to go on.
func (c *Cursor) step(buf []byte) (Entry, error) {
	r := c.reader
	var h header
	var err error
	if r.f != nil && r.pos.seq == c.next && c.next < r.v.end {
		h, err = r.head()
	} else {
		var v view
		if v, err = c.log.viewOf(c.next); err != nil {
			return Entry{}, errMoved // deleted since the caller looked
		}
		h, err = r.seek(v, c.next)
	}
	if err != nil {
		return Entry{}, err
	}
	return r.data(h, buf)
}

// passable says that reading can go on behind err at once.
func (c *Cursor) passable(err error) bool {
	corrupt := (*CorruptError)(nil)
	if errors.Is(err, io.EOF) || errors.As(err, &corrupt) {
		return true
	}
	c.faults++
	c.log.opts.Log.Warn("spool: read", "cursor", c.name, "attempt", c.faults, "error", err)
	if c.faults < readRetries || c.reader.f == nil {
		return false
	}
	if !c.reader.skipUnreadable(err) {
		return false
	}
	c.faults = 0
	return true
}

// Ack says that everything up to and including through was delivered. It never
// moves back, counts at once, and is stored in the background.
func (c *Cursor) Ack(through uint64) {
	l := c.log
	l.mu.Lock()
	through = min(through, l.next-1)
	if through <= c.acked || c.removed {
		l.mu.Unlock()
		return
	}
	c.acked = through
	passed := len(l.segs) >= 2 && through >= l.segs[1].base-1
	l.unsaved += c.read.Swap(0)
	much := l.unsaved >= saveBytes
	if much {
		l.unsaved = 0
	}
	l.mu.Unlock()
	if much {
		l.keeper.muchChanged()
	} else {
		l.keeper.changed()
	}
	if passed {
		poke(l.freed)
		l.opts.Budget.roomCame()
	}
}

// Acked is the last sequence acknowledged; 0 means none.
func (c *Cursor) Acked() uint64 {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return c.acked
}

// Rewind makes Next go on at seq, or at the first retained sequence if that is
// later. It does not change what is acknowledged. ErrNotYet is returned for a
// sequence beyond the next one.
func (c *Cursor) Rewind(seq uint64) error {
	if next := c.log.nextSeq.Load(); seq > next {
		return fmt.Errorf("spool: cursor %s: rewind to %d, next is %d: %w", c.name, seq, next, ErrNotYet)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next = max(seq, c.log.firstSeq.Load())
	return nil
}
