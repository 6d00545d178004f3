package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	// saveEvery and saveBytes bound how often positions are stored: whichever
	// comes first. A crash repeats at most that much to each consumer.
	saveEvery = 50 * time.Millisecond
	saveBytes = 8 << 20
	// markEvery and markEntries bound the age of the mark.
	markEvery   = time.Second
	markEntries = 4096
	// retryEvery is the pause after a save or a deletion that went wrong.
	retryEvery = time.Second
)

// keeper is the one goroutine that stores cursors and the mark, and deletes what
// nobody needs any more.
type keeper struct {
	log      *Log
	kick     chan struct{} // something has changed
	hurry    chan struct{} // enough has changed not to wait for more
	newSeg   atomic.Bool   // a segment was begun since the last mark
	markTime time.Time
	failing  bool // the last work went wrong
}

func newKeeper(l *Log) *keeper {
	return &keeper{log: l, kick: make(chan struct{}, 1), hurry: make(chan struct{}, 1), markTime: time.Now()}
}

func (k *keeper) changed() { poke(k.kick) }

func (k *keeper) muchChanged() {
	poke(k.hurry)
	poke(k.kick)
}

func (k *keeper) rolled() {
	k.newSeg.Store(true)
	poke(k.kick)
}

// poke leaves a token, if there is none.
func poke(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// run works until stop is closed. The last save is Close's.
func (k *keeper) run(stop <-chan struct{}) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-stop:
			return
		case <-k.kick:
		case <-again.C:
		}
		if !k.gather(stop) {
			return
		}
		again.Reset(k.work())
	}
}

// gather waits for company; false means stop.
func (k *keeper) gather(stop <-chan struct{}) bool {
	t := time.NewTimer(saveEvery)
	defer t.Stop()
	select {
	case <-stop:
		return false
	case <-t.C:
	case <-k.hurry:
	}
	return true
}

// work does what is due and says when to look again without being asked.
func (k *keeper) work() time.Duration {
	err := errors.Join(k.log.saveCursors(), k.saveMarkIfDue())
	next, retireErr := k.log.retire(time.Now())
	if err = errors.Join(err, retireErr); err != nil {
		if !k.failing { // said once, not every second
			k.log.opts.Log.Warn("spool: positions not stored, trying again", "error", err)
		}
		k.failing = true
		return retryEvery
	}
	k.failing = false
	if k.behind() > 0 {
		return min(next, markEvery)
	}
	return next
}

// behind is how many durable entries the mark does not know of.
func (k *keeper) behind() uint64 { return k.log.nextSeq.Load() - 1 - k.log.marked.Load() }

func (k *keeper) saveMarkIfDue() error {
	behind := k.behind()
	due := k.newSeg.Load() || behind >= markEntries || (behind > 0 && time.Since(k.markTime) >= markEvery)
	if !due {
		return nil
	}
	k.newSeg.Store(false)
	k.markTime = time.Now()
	if err := k.log.saveMark(false); err != nil {
		k.newSeg.Store(true)
		return err
	}
	return nil
}

const (
	cursorMagic  = "SLCURS01"
	cursorBytes  = 20
	cursorSuffix = ".cursor"
)

func encodeCursor(acked uint64) []byte {
	b := make([]byte, cursorBytes)
	copy(b, cursorMagic)
	binary.LittleEndian.PutUint64(b[8:], acked)
	binary.LittleEndian.PutUint32(b[16:], crc32c(0, b[:16]))
	return b
}

var errCursorFile = errors.New("not a cursor")

func decodeCursor(b []byte) (acked uint64, err error) {
	if len(b) != cursorBytes || string(b[:8]) != cursorMagic {
		return 0, errCursorFile
	}
	if binary.LittleEndian.Uint32(b[16:]) != crc32c(0, b[:16]) {
		return 0, errChecksum
	}
	return binary.LittleEndian.Uint64(b[8:]), nil
}

// saveCursors stores the cursors that have moved.
func (l *Log) saveCursors() error {
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	var errs []error
	for _, c := range l.cursorList() {
		errs = append(errs, l.saveCursor(c))
	}
	return errors.Join(errs...)
}

// saveCursor stores one cursor if it has moved; saveMu is held.
func (l *Log) saveCursor(c *Cursor) error {
	l.mu.Lock()
	acked, dirty := c.acked, !c.removed && (!c.onDisk || c.acked != c.saved)
	l.mu.Unlock()
	if !dirty {
		return nil
	}
	if err := l.replace(c.name+cursorSuffix, encodeCursor(acked)); err != nil {
		return fmt.Errorf("spool: cursor %s: %w", c.name, err)
	}
	l.mu.Lock()
	c.saved, c.onDisk = acked, true
	l.mu.Unlock()
	return nil
}
