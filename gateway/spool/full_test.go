package spool_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

const (
	fullMax   = 64 << 10
	fullEntry = 1000
)

func fullOptions(p spool.Policy) spool.Options {
	return spool.Options{SegmentBytes: 8 << 10, MaxBytes: fullMax, WhenFull: p, QueueBytes: 4 << 10}
}

// fillUp appends until the log is full; it gives the last durable sequence.
func fillUp(t *testing.T, l *spool.Log) uint64 {
	t.Helper()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, next, _ := l.Bounds()
		_, err := l.Append(ctx, weightOf(next), payload(next, fullEntry))
		cancel()
		if err != nil {
			return next - 1
		}
	}
}

func TestFullRefuses(t *testing.T) {
	l := mustOpen(t, t.TempDir(), fullOptions(spool.Refuse))
	c := mustCursor(t, l, "sink")
	last := fillUp(t, l)
	if s := l.Stats(); s.State != spool.StateFull || s.Bytes > fullMax || s.StateError == "" {
		t.Fatalf("%+v", s)
	}
	if used := last * fullEntry; used < fullMax*8/10 {
		t.Fatalf("full after %d bytes", used)
	}
	// One entry is queued and tried; the next caller waits at the door.
	stuck := make(chan error, 1)
	err := l.AppendAsync(t.Context(), 1, func(_ uint64, err error) { stuck <- err }, payload(last+1, fullEntry))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err = l.AppendAsync(ctx, 1, func(uint64, error) { t.Error("called") }, payload(1, fullEntry))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while full: %v", err)
	}
	// Space comes back, and with it everything.
	drain(t, c, 1, last, fullEntry)
	c.Ack(last / 2)
	if err := <-stuck; err != nil {
		t.Fatal(err)
	}
	eventually(t, "state ok", func() bool { return l.Stats().State == spool.StateOK })
	if s := l.Stats(); len(s.Dropped) != 0 || s.Next != last+2 {
		t.Fatalf("%+v", s)
	}
}

func TestFullRefusesUntilClose(t *testing.T) {
	l := mustOpen(t, t.TempDir(), fullOptions(spool.Refuse))
	mustCursor(t, l, "sink")
	last := fillUp(t, l)
	stuck := make(chan error, 1)
	err := l.AppendAsync(t.Context(), 1, func(_ uint64, err error) { stuck <- err }, payload(last+1, fullEntry))
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	if err := <-stuck; !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
}

func TestFullDropsNew(t *testing.T) {
	l := mustOpen(t, t.TempDir(), fullOptions(spool.DropNew))
	c := mustCursor(t, l, "sink")
	var last uint64
	var lost spool.Count
	for i := uint64(1); i <= 200; i++ {
		_, next, _ := l.Bounds()
		_, err := l.Append(t.Context(), weightOf(next), payload(next, fullEntry))
		switch {
		case err == nil:
			last = next
		case errors.Is(err, spool.ErrDropped):
			lost.Entries++
			lost.Weight += uint64(weightOf(next))
		default:
			t.Fatal(err)
		}
	}
	s := l.Stats()
	if s.State != spool.StateFull || lost.Entries == 0 || s.Dropped[spool.DropFull] != lost {
		t.Fatalf("dropped %+v: %+v", lost, s)
	}
	drain(t, c, 1, last, fullEntry)
	c.Ack(last)
	eventually(t, "deleted", func() bool { return l.Stats().Bytes < fullMax/2 })
	fill(t, l, last+6, fullEntry)
	drain(t, c, last+1, last+5, fullEntry)
	if s := l.Stats(); s.State != spool.StateOK {
		t.Fatalf("%+v", s)
	}
}

func TestFullDropsOldest(t *testing.T) {
	l := mustOpen(t, t.TempDir(), fullOptions(spool.DropOldest))
	slow, quick := mustCursor(t, l, "slow"), mustCursor(t, l, "quick")
	fill(t, l, 31, fullEntry)
	drain(t, slow, 1, 10, fullEntry)
	slow.Ack(10)
	drain(t, quick, 1, 30, fullEntry)
	quick.Ack(30)
	fill(t, l, 201, fullEntry)
	first, next, _ := l.Bounds()
	s := l.Stats()
	if s.State != spool.StateOK || s.Bytes > fullMax || next != 201 {
		t.Fatalf("%+v", s)
	}
	if want := between(11, first); s.Dropped[spool.DropOldestUnsent] != want {
		t.Fatalf("dropped %+v, want %+v", s.Dropped, want)
	}
	if want := between(31, first); s.Cursors[0].Dropped != want || s.Cursors[1].Dropped != between(11, first) {
		t.Fatalf("per cursor %+v", s.Cursors)
	}
	drain(t, slow, first, 200, fullEntry)
	drain(t, quick, first, 200, fullEntry)
	if _, err := l.Read(first-1, nil); !errors.Is(err, spool.ErrGone{First: first}) {
		t.Fatal(err)
	}
}

// between counts the entries from..end-1 that fill makes.
func between(from, end uint64) (c spool.Count) {
	for seq := from; seq < end; seq++ {
		c.Entries++
		c.Weight += uint64(weightOf(seq))
	}
	return c
}

func TestSentIsGivenUpBeforeUnsent(t *testing.T) {
	for _, p := range []spool.Policy{spool.Refuse, spool.DropNew, spool.DropOldest} {
		t.Run(p.String(), func(t *testing.T) {
			o := fullOptions(p)
			o.KeepSent = time.Hour
			l := mustOpen(t, t.TempDir(), o)
			c := mustCursor(t, l, "sink")
			for last := uint64(20); last <= 200; last += 20 {
				fill(t, l, last+1, fullEntry)
				drain(t, c, last-19, last, fullEntry)
				c.Ack(last)
			}
			if s := l.Stats(); len(s.Dropped) != 0 || s.Entries < 40 {
				t.Fatalf("%+v", s)
			}
		})
	}
}

func TestWithdrawnEntryIsNotWritten(t *testing.T) {
	l := mustOpen(t, t.TempDir(), fullOptions(spool.Refuse))
	c := mustCursor(t, l, "sink")
	last := fillUp(t, l) // its last Append was withdrawn
	drain(t, c, 1, last, fullEntry)
	c.Ack(last)
	eventually(t, "deleted", func() bool { return l.Stats().Bytes < fullMax/2 })
	fill(t, l, last+2, fullEntry)
	drain(t, c, last+1, last+1, fullEntry)
	if queued := l.Stats().Queued; queued != 0 {
		t.Fatalf("%d bytes queued", queued)
	}
}

func TestQueueIsBounded(t *testing.T) {
	const queue = 16 << 10
	l := mustOpen(t, t.TempDir(), spool.Options{QueueBytes: queue})
	var most, now atomic.Int64
	for range 500 {
		if err := l.AppendAsync(t.Context(), 1, func(uint64, error) { now.Add(-fullEntry) }, payload(1, fullEntry)); err != nil {
			t.Fatal(err)
		}
		most.Store(max(most.Load(), now.Add(fullEntry)))
	}
	eventually(t, "all done", func() bool { return now.Load() == 0 })
	// The group whose callbacks are running no longer counts as queued.
	if most.Load() > 2*queue+fullEntry {
		t.Fatalf("%d bytes appended and not done, at most %d expected", most.Load(), queue)
	}
}

func TestDoneInOrder(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{Linger: time.Millisecond, SegmentBytes: 16 << 10})
	const n = 500
	seqs := make(chan uint64, n)
	for i := range uint64(n) {
		if err := l.AppendAsync(t.Context(), 1, func(seq uint64, err error) {
			if err == nil {
				seqs <- seq
			}
		}, payload(i, 300)); err != nil {
			t.Fatal(err)
		}
	}
	for want := range uint64(n) {
		if got := <-seqs; got != want+1 {
			t.Fatalf("sequence %d where %d is due", got, want+1)
		}
	}
	if syncs := l.Stats().Syncs; syncs > n/5 {
		t.Fatalf("%d syncs for %d entries: no company was waited for", syncs, n)
	}
}
