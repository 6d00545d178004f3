package spool

import (
	"maps"
	"slices"
	"strings"
)

// State says whether the log takes entries.
type State string

// The states. The last two end by themselves.
const (
	StateOK      State = "ok"
	StateFull    State = "full"     // the disk, a quota or Options.MaxBytes
	StateIOError State = "io-error" // the disk does not take writes
)

// Reasons of drops: the keys of Stats.Dropped.
const (
	DropFull         = "full"          // DropNew while full
	DropIOError      = "io-error"      // DropNew while the disk does not take writes
	DropOldestUnsent = "oldest-unsent" // DropOldest made room
)

// Count is a number of entries and the sum of their weights.
type Count struct{ Entries, Weight uint64 }

func (c *Count) add(d Count) {
	c.Entries += d.Entries
	c.Weight += d.Weight
}

// Stats is a picture of the log. Counters begin at Open.
type Stats struct {
	Entries     uint64 // retained, damaged ones included
	Bytes       int64  // of segment files
	Segments    int
	First, Next uint64 // first retained, next to be given
	Sum         uint64 // of all weights before Next
	Epoch       [16]byte
	State       State
	StateError  string           // what the state is about; empty when ok
	Dropped     map[string]Count // by reason
	Lost        Count            // damaged entries found by reading; the weight as far as it is known
	Quarantined int64            // bytes in side files
	Queued      int64            // bytes appended and not durable yet, with overhead
	Syncs       uint64           // fdatasync calls of the writer
	Cursors     []CursorStats    // by name
}

// CursorStats is a picture of one cursor.
type CursorStats struct {
	Name       string
	Acked      uint64 // last sequence acknowledged
	Next       uint64 // next sequence to be read
	LagEntries uint64 // retained and not acknowledged
	LagBytes   int64
	LagWeight  uint64
	Dropped    Count // deleted before this cursor acknowledged them
}

// Stats gives a picture of the log. It may read from the disk to find the lag in
// weight, once per position of a cursor.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	first := l.firstSeq.Load()
	s := Stats{
		Entries: l.next - first, Bytes: l.total, Segments: len(l.segs),
		First: first, Next: l.next, Sum: l.sum, Epoch: l.epoch,
		State: l.state, Dropped: maps.Clone(l.dropped), Lost: l.lost,
		Quarantined: l.quarantined, Syncs: l.syncs.Load(),
	}
	if l.stateErr != nil {
		s.StateError = l.stateErr.Error()
	}
	cursors := slices.Collect(maps.Values(l.cursors))
	l.mu.Unlock()
	_, s.Queued, _ = l.queue.state()
	for _, c := range cursors {
		s.Cursors = append(s.Cursors, c.stats())
	}
	slices.SortFunc(s.Cursors, func(a, b CursorStats) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func (c *Cursor) stats() CursorStats {
	c.mu.Lock()
	reading := max(c.next, c.log.firstSeq.Load())
	c.mu.Unlock()
	c.log.mu.Lock()
	s := CursorStats{Name: c.name, Acked: c.acked, Next: reading, Dropped: c.dropped}
	from := max(c.acked+1, c.log.firstSeq.Load())
	s.LagEntries = c.log.next - from
	lag := c.lag
	c.log.mu.Unlock()
	if lag.at != from || lag.seg == nil {
		if lag = c.log.lagAt(from); lag.seg != nil {
			c.log.mu.Lock()
			c.lag = lag
			c.log.mu.Unlock()
		}
	}
	if lag.seg == nil {
		return s // nothing to read, or nothing can be read now
	}
	if _, sum := c.log.position(); sum > lag.sum {
		s.LagWeight = sum - lag.sum
	}
	s.LagBytes = c.log.bytesAfter(lag.seg, lag.off)
	return s
}

// lagAt finds the place of sequence at.
func (l *Log) lagAt(at uint64) lagCache {
	seg, p, err := l.placeOf(at)
	if err != nil || seg == nil {
		return lagCache{}
	}
	return lagCache{at: at, sum: p.sum, seg: seg, off: p.off}
}

// setState notes a change of state, and logs it once.
func (l *Log) setState(s State, err error) {
	l.mu.Lock()
	old := l.state
	l.state, l.stateErr = s, err
	l.mu.Unlock()
	switch {
	case old == s:
	case s == StateOK:
		l.opts.Log.Info("spool: takes entries again", "was", old)
	default:
		l.opts.Log.Error("spool: takes no entries", "state", s, "policy", l.opts.WhenFull.String(), "error", err)
	}
}

func (l *Log) lastError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stateErr
}

func (l *Log) countDrop(reason string, n Count) {
	if n.Entries == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.dropped[reason]
	c.add(n)
	l.dropped[reason] = c
}
