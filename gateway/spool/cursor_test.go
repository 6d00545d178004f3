package spool_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

func TestCursorsAreIndependent(t *testing.T) {
	dir := t.TempDir()
	o := spool.Options{SegmentBytes: 4 << 10}
	l := mustOpen(t, dir, o)
	fast, slow := mustCursor(t, l, "fast"), mustCursor(t, l, "slow")
	fill(t, l, 101, 200)
	drain(t, fast, 1, 100, 200)
	fast.Ack(100)
	drain(t, slow, 1, 30, 200)
	slow.Ack(30)
	eventually(t, "segments before 31 deleted", func() bool { first, _, _ := l.Bounds(); return first > 14 })
	if first, _, _ := l.Bounds(); first > 31 {
		t.Fatalf("entry 31 is gone, first is %d", first)
	}
	s := l.Stats()
	if s.Cursors[0].LagEntries != 0 || s.Cursors[1].LagEntries != 70 {
		t.Fatalf("lag %+v", s.Cursors)
	}
	var weight uint64
	for seq := uint64(31); seq <= 100; seq++ {
		weight += uint64(weightOf(seq))
	}
	if got := s.Cursors[1]; got.LagWeight != weight || got.LagBytes != 70*(recHead+200) || got.Next != 31 {
		t.Fatalf("%+v, want weight %d bytes %d", got, weight, 70*(recHead+200))
	}
	drain(t, slow, 31, 100, 200)
}

func TestCursorKeepsEntriesAlsoWhenNobodyOpensIt(t *testing.T) {
	dir := t.TempDir()
	o := spool.Options{SegmentBytes: 4 << 10}
	l := mustOpen(t, dir, o)
	mustCursor(t, l, "absent")
	fill(t, l, 51, 200)
	mustClose(t, l)
	l = mustOpen(t, dir, o)
	c := mustCursor(t, l, "present")
	c.Ack(50)
	drain(t, c, 51-50, 50, 200)
	if err := l.RemoveCursor("absent"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "deleted once the absent is removed", func() bool { return l.Stats().Segments == 1 })
	if err := l.RemoveCursor("never known"); err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	l = mustOpen(t, dir, o)
	if names := l.Stats().Cursors; len(names) != 1 || names[0].Name != "present" {
		t.Fatalf("%+v", names)
	}
}

func TestRemovedCursorEndsItsReader(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{})
	c := mustCursor(t, l, "sink")
	ended := make(chan error, 1)
	go func() {
		_, err := c.Next(t.Context(), nil)
		ended <- err
	}()
	if err := l.RemoveCursor("sink"); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
}

func TestAckNeverMovesBackNorAhead(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{})
	c := mustCursor(t, l, "sink")
	fill(t, l, 11, 50)
	for _, step := range []struct{ ack, want uint64 }{{5, 5}, {3, 5}, {1000, 10}, {0, 10}} {
		if c.Ack(step.ack); c.Acked() != step.want {
			t.Fatalf("after %d: %d, want %d", step.ack, c.Acked(), step.want)
		}
	}
}

func TestRewind(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{SegmentBytes: 4 << 10})
	c := mustCursor(t, l, "sink")
	fill(t, l, 101, 200)
	drain(t, c, 1, 100, 200)
	for _, at := range []uint64{50, 1, 99, 100, 37} {
		if err := c.Rewind(at); err != nil {
			t.Fatal(err)
		}
		drain(t, c, at, 100, 200)
	}
	if err := c.Rewind(102); !errors.Is(err, spool.ErrNotYet) {
		t.Fatal(err)
	}
	c.Ack(100)
	eventually(t, "deleted", func() bool { return l.Stats().Segments == 1 })
	if err := c.Rewind(1); err != nil {
		t.Fatal(err)
	}
	first, _, _ := l.Bounds()
	drain(t, c, first, 100, 200)
}

func TestCursorNames(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{})
	for _, name := range []string{"", ".", "..", "A", "a/b", "a b", "é", ".hidden", string(make([]byte, 65))} {
		if _, err := l.Cursor(name); !errors.Is(err, spool.ErrCursorName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	a, b := mustCursor(t, l, "sink.file-1_x"), mustCursor(t, l, "sink.file-1_x")
	if a != b {
		t.Error("two values for one cursor")
	}
}

func TestKeepSent(t *testing.T) {
	dir := t.TempDir()
	o := spool.Options{SegmentBytes: 4 << 10, KeepSent: time.Hour}
	l := mustOpen(t, dir, o)
	c := mustCursor(t, l, "sink")
	fill(t, l, 101, 200)
	c.Ack(100)
	mustClose(t, l)
	l = mustOpen(t, dir, o)
	if first, _, _ := l.Bounds(); first != 1 {
		t.Fatalf("first %d: sent entries are kept", first)
	}
	if e, err := l.Read(1, nil); err != nil || e.Seq != 1 {
		t.Fatal(err)
	}
	mustClose(t, l)
	o.KeepSent = time.Nanosecond
	l = mustOpen(t, dir, o)
	eventually(t, "expired", func() bool { return l.Stats().Segments == 1 })
	if _, err := l.Read(1, nil); !errors.As(err, new(spool.ErrGone)) {
		t.Fatal(err)
	}
}

// TestConcurrentUse lets appenders, cursors, readers and Stats run together.
func TestConcurrentUse(t *testing.T) {
	const appenders, each, size = 4, 200, 600
	l := mustOpen(t, t.TempDir(), spool.Options{SegmentBytes: 32 << 10, QueueBytes: 8 << 10})
	cursors := []*spool.Cursor{mustCursor(t, l, "a"), mustCursor(t, l, "b")}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, appenders+len(cursors)+1)
	for range appenders {
		wg.Go(func() { errs <- appendEach(ctx, l, each, size) })
	}
	for _, c := range cursors {
		wg.Go(func() { errs <- consume(ctx, c, appenders*each) })
	}
	wg.Go(func() {
		for range 100 {
			_ = l.Stats()
			_, _, _ = l.Last()
		}
		errs <- nil
	})
	wg.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Error(err)
		}
	}
	if _, next, sum := l.Bounds(); next != appenders*each+1 || sum != appenders*each*2 {
		t.Fatalf("next %d sum %d", next, sum)
	}
}

func appendEach(ctx context.Context, l *spool.Log, n, size int) error {
	last := uint64(0)
	for range n {
		seq, err := l.Append(ctx, 2, payload(7, size))
		if err != nil || seq <= last {
			return fmt.Errorf("sequence %d after %d: %w", seq, last, err)
		}
		last = seq
	}
	return nil
}

func consume(ctx context.Context, c *spool.Cursor, n int) error {
	var buf []byte
	for seq := uint64(1); seq <= uint64(n); seq++ {
		e, err := c.Next(ctx, buf)
		if err != nil || e.Seq != seq || e.SumBefore != 2*(seq-1) {
			return fmt.Errorf("entry %d where %d is due: %w", e.Seq, seq, err)
		}
		c.Ack(e.Seq)
		buf = e.Data
	}
	return nil
}
