package spool

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// idleLook is how often the keeper looks for expired segments when nothing else
// wakes it.
const idleLook = time.Minute

// retire notes which segments all cursors have passed and deletes those whose
// time is over. It says when to look again.
func (l *Log) retire(now time.Time) (time.Duration, error) {
	l.markPassed(now)
	for {
		seg, wait := l.expired(now)
		if seg == nil {
			return wait, nil
		}
		if _, err := l.deleteOldest(seg, false); err != nil {
			return retryEvery, err
		}
	}
}

// expired gives the oldest segment when it may go, else the time until it may.
func (l *Log) expired(now time.Time) (*segment, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sent() || !l.segs[0].passed {
		return nil, idleLook
	}
	if left := l.opts.KeepSent - now.Sub(l.segs[0].touched); left > 0 {
		return nil, min(left, idleLook)
	}
	return l.segs[0], 0
}

// mayGo says that the oldest segment does not hold the newest entry; mu is held.
func (l *Log) mayGo() bool {
	return len(l.segs) >= 2 && l.segs[1].base < l.next
}

// sent says that the oldest segment may go and that all cursors have passed it: a
// cursor may have come since it was stamped. mu is held.
func (l *Log) sent() bool {
	acked, found := l.slowest()
	return found && l.mayGo() && l.segs[1].base-1 <= acked
}

// markPassed stamps segments that all cursors have now passed: how long they are
// kept is counted from this moment, which the file's time of change carries over
// a restart.
func (l *Log) markPassed(now time.Time) {
	for _, name := range l.newlyPassed(now) {
		if l.opts.KeepSent <= 0 {
			continue // deleted at once
		}
		if err := l.fs.touch(name, now); err != nil {
			l.opts.Log.Debug("spool: stamp segment", "file", name, "error", err)
		}
	}
}

func (l *Log) newlyPassed(now time.Time) (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	acked, found := l.slowest()
	if !found {
		return nil
	}
	for i, seg := range l.segs[:max(0, len(l.segs)-1)] {
		if l.segs[i+1].base-1 > acked {
			break
		}
		if seg.passed {
			continue
		}
		seg.passed, seg.touched = true, now
		names = append(names, seg.name)
	}
	return names
}

// slowest is the lowest acknowledged sequence of all cursors; mu is held.
func (l *Log) slowest() (acked uint64, found bool) {
	for _, c := range l.cursors {
		if !found || c.acked < acked {
			acked, found = c.acked, true
		}
	}
	return acked, found
}

// reclaimSent deletes the oldest segment if all cursors have passed it. Other logs
// of the same Budget call it too.
func (l *Log) reclaimSent() bool {
	l.mu.Lock()
	if !l.sent() {
		l.mu.Unlock()
		return false
	}
	seg := l.segs[0]
	l.mu.Unlock()
	_, err := l.deleteOldest(seg, false) // if another was quicker, room came too
	return err == nil
}

// sentSince says since when the oldest segment has been sent, if it has been.
func (l *Log) sentSince() (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.sent() {
		return time.Time{}, false
	}
	return l.segs[0].touched, true
}

// lagging is a cursor that loses entries with a deletion.
type lagging struct {
	cursor *Cursor
	from   uint64
	count  Count
}

// behind lists the cursors that have not acknowledged everything before end; mu
// is held.
func (l *Log) behind(end uint64) (out []*lagging) {
	for _, c := range l.cursors {
		if from := max(c.acked+1, l.segs[0].base); from < end {
			out = append(out, &lagging{cursor: c, from: from})
		}
	}
	return out
}

// between counts the entries from..end-1 and their weight.
func (l *Log) between(from, end uint64) Count {
	if from >= end {
		return Count{}
	}
	c := Count{Entries: end - from}
	before, err := l.sumBefore(from)
	if err != nil {
		return c
	}
	if after, err := l.sumBefore(end); err == nil && after > before {
		c.Weight = after - before
	}
	return c
}

// deleteOldest removes seg if it still is the oldest and, unless unsent entries may
// go too, all cursors have still passed it; it says whether it did. The directory
// is synced before the next may go, so that a crash never leaves a hole between
// segments.
func (l *Log) deleteOldest(seg *segment, unsentToo bool) (bool, error) {
	l.deleteMu.Lock()
	defer l.deleteMu.Unlock()
	if l.shut {
		return false, fmt.Errorf("spool: delete segment %d: %w", seg.base, ErrClosed)
	}
	l.mu.Lock()
	if !l.mayGo() || l.segs[0] != seg || (!unsentToo && !l.sent()) {
		l.mu.Unlock()
		return false, nil
	}
	l.segs[0] = nil
	l.segs = l.segs[1:]
	l.total -= seg.size
	l.firstSeq.Store(l.segs[0].base)
	l.dropIndex(seg)
	l.forgetHoles(l.segs[0].base)
	l.mu.Unlock()
	defer poke(l.freed)
	if err := l.fs.remove(seg.name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, l.undelete(seg, err)
	}
	l.opts.Budget.give(l, seg.size)
	if err := l.fs.syncDir(); err != nil {
		return true, fmt.Errorf("spool: delete segment %d: %w", seg.base, err)
	}
	return true, nil
}

// undelete puts seg back: its file is still there and takes space.
func (l *Log) undelete(seg *segment, err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.segs = append([]*segment{seg}, l.segs...)
	l.total += seg.size
	l.firstSeq.Store(seg.base)
	return fmt.Errorf("spool: delete segment %d: %w", seg.base, err)
}
