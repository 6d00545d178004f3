package spool

import (
	"errors"
	"fmt"
	"time"
)

const (
	// backOffFirst and backOffMost bound the pauses between two attempts to write
	// after an error: the double each time.
	backOffFirst = 50 * time.Millisecond
	backOffMost  = 2 * time.Second
)

// room opens a segment with room for the first entry, and says how many of the
// group fit.
func (w *writer) room(group []pending) (int, error) {
	opts := w.log.opts
	first := group[0].bytes + recordHeadBytes
	need := first
	fresh := w.seg == nil || (w.size > segmentHeadBytes && w.size+first > opts.SegmentBytes)
	if fresh {
		need += segmentHeadBytes
	}
	if err := w.makeRoom(need); err != nil {
		return 0, err
	}
	if fresh {
		if err := w.roll(); err != nil {
			return 0, err
		}
	}
	left := opts.SegmentBytes - w.size
	if opts.MaxBytes > 0 {
		left = min(left, opts.MaxBytes-w.log.totalBytes())
	}
	return w.company(group, left), nil
}

// company says how many of the group fit within left bytes and the budget, which
// has given the first's bytes already.
func (w *writer) company(group []pending, left int64) int {
	n, bytes := 1, int64(0)
	left -= group[0].bytes + recordHeadBytes
	for ; n < len(group) && bytes+group[n].bytes+recordHeadBytes <= left; n++ {
		bytes += group[n].bytes + recordHeadBytes
	}
	given := w.log.opts.Budget.takeUpTo(w.log, bytes)
	w.taken += given
	for bytes > given {
		n--
		bytes -= group[n].bytes + recordHeadBytes
	}
	return n
}

// settle gives back what was taken of the budget and not written.
func (w *writer) settle() {
	w.log.opts.Budget.give(w.log, w.taken)
	w.taken = 0
}

// makeRoom sees that need bytes fit within MaxBytes and the budget: what is sent
// goes first, here and then in the other logs of the budget, and under DropOldest
// what is unsent here.
func (w *writer) makeRoom(need int64) error {
	limit, budget := w.log.opts.MaxBytes, w.log.opts.Budget
	for {
		within := limit <= 0 || w.log.totalBytes()+need <= limit
		if within && budget.take(w.log, need) {
			w.taken += need
			return nil
		}
		if w.log.reclaimSent() || (within && budget.reclaimOthers(w.log)) {
			continue
		}
		dropped, err := w.dropByPolicy()
		if err != nil {
			return fmt.Errorf("%w: %w", errFull, err)
		}
		if dropped {
			continue
		}
		used := w.log.totalBytes()
		if within {
			used, limit = budget.Used()
		}
		return fmt.Errorf("spool: %d of %d bytes used: %w", used, limit, errFull)
	}
}

// dropByPolicy makes room under DropOldest.
func (w *writer) dropByPolicy() (bool, error) {
	if w.log.opts.WhenFull != DropOldest {
		return false, nil
	}
	return w.dropOldest()
}

// stumble decides what happens to a group that could not be written.
func (w *writer) stumble(err error) {
	state := StateIOError
	if errors.Is(err, errFull) || isFull(err) {
		state = StateFull
	}
	if state == StateFull && !errors.Is(err, errFull) {
		freed, freeErr := w.freeDisk()
		if freed {
			w.log.queue.giveBack()
			if w.fails > 1 {
				// What was freed did not help: somebody else eats the disk. Do not
				// empty the log as fast as files can be deleted.
				w.pause(w.backOff())
			}
			return
		}
		if freeErr != nil {
			err = fmt.Errorf("%w: %w", err, freeErr)
		}
	}
	if state == StateIOError && w.fails == 1 {
		// One attempt with a fresh segment is owed to an fsync error.
		w.log.queue.giveBack()
		return
	}
	w.log.setState(state, err)
	if _, _, closed := w.log.queue.state(); closed {
		w.fail(w.group, fmt.Errorf("%w: %w", ErrClosed, err))
		return
	}
	if w.log.opts.WhenFull == DropNew {
		if !errors.Is(err, errFull) {
			w.rest = time.Now().Add(w.backOff())
		}
		w.drop(w.group, err)
		return
	}
	w.log.queue.hold(w.log.opts.WhenFull == Refuse)
	w.log.queue.giveBack()
	w.pause(w.backOff())
}

// freeDisk makes room on a full disk, if the policy has any to give.
func (w *writer) freeDisk() (bool, error) {
	if w.log.reclaimSent() || w.log.opts.Budget.reclaimOthers(w.log) {
		return true, nil
	}
	return w.dropByPolicy()
}

// resting says that the last attempt is too recent for another: new entries are
// dropped meanwhile.
func (w *writer) resting() bool {
	return w.log.opts.WhenFull == DropNew && w.fails > 0 && time.Now().Before(w.rest)
}

func (w *writer) backOff() time.Duration {
	d := backOffFirst
	for i := 1; i < w.fails && d < backOffMost; i++ {
		d *= 2
	}
	return min(d, backOffMost)
}

// pause waits d, or until space may have come free, or until Close.
func (w *writer) pause(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-w.log.freed:
	case <-w.log.stop:
	}
}

// drop ends the group's entries by policy, and counts them.
func (w *writer) drop(group []pending, cause error) {
	reason := DropIOError
	if errors.Is(cause, errFull) || isFull(cause) {
		reason = DropFull
	}
	var weight uint64
	for _, p := range group {
		weight += uint64(p.weight)
	}
	w.log.countDrop(reason, Count{Entries: uint64(len(group)), Weight: weight})
	w.fail(group, fmt.Errorf("%w: %w", ErrDropped, cause))
}

// fail ends the group's entries with err.
func (w *writer) fail(group []pending, err error) {
	w.log.queue.finish(len(group))
	for _, p := range group {
		p.done(0, err)
	}
}
