package spool

import (
	"bytes"
	"context"
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

const diskSpace = 40 << 10

// fullDisk gives a log on a disk of diskSpace bytes, filled as far as it goes.
func fullDisk(t *testing.T, p Policy) (*memFS, *Log, uint64) {
	t.Helper()
	m := newMemFS()
	m.space = diskSpace
	l, err := open(m, Options{SegmentBytes: 8 << 10, WhenFull: p})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Cursor("sink"); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); ; seq++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := l.Append(ctx, 1, make([]byte, 1000))
		cancel()
		if err != nil || seq == 100 {
			return m, l, l.nextSeq.Load() - 1
		}
	}
}

func TestDiskFullRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l, last := fullDisk(t, Refuse)
		if s := l.Stats(); s.State != StateFull || last < 30 {
			t.Fatalf("%d entries, %+v", last, s)
		}
		m.mu.Lock()
		m.space *= 2
		m.mu.Unlock()
		if seq, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil || seq != last+1 {
			t.Fatalf("%d %v", seq, err)
		}
		if s := l.Stats(); s.State != StateOK {
			t.Fatalf("%+v", s)
		}
		reopenAndCheck(t, m, l, last+1)
	})
}

func reopenAndCheck(t *testing.T, m *memFS, l *Log, last uint64) {
	t.Helper()
	epoch := l.Epoch()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := open(m, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l.Epoch() != epoch || l.nextSeq.Load() != last+1 {
		t.Fatalf("next %d after a restart, epoch kept %v", l.nextSeq.Load(), l.Epoch() == epoch)
	}
	first := l.firstSeq.Load()
	for seq := first; seq <= last; seq++ {
		if e, err := l.Read(seq, nil); err != nil || len(e.Data) != 1000 {
			t.Fatalf("entry %d: %v", seq, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestWithdrawnAfterAFailedSync: what was written and never synced, and then
// withdrawn, does not come back behind what was written instead of it.
func TestWithdrawnAfterAFailedSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		l, err := open(m, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		m.setFault(faulty("sync", 1, 1000, errDisk))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.Append(ctx, 1, bytes.Repeat([]byte("x"), 5000)); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("append to a disk that does not sync: %v", err)
		}
		m.setFault(nil)
		if seq, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil || seq != 2 {
			t.Fatalf("%d %v", seq, err)
		}
		reopenAndCheck(t, m, l, 2)
	})
}

func TestDiskFullDropsNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l, last := fullDisk(t, DropNew)
		for range 10 {
			if _, err := l.Append(t.Context(), 1, make([]byte, 1000)); !errors.Is(err, ErrDropped) || !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
		}
		if n := l.Stats().Dropped[DropFull]; n.Entries < 10 || n.Entries != n.Weight {
			t.Fatalf("%+v", n)
		}
		l.mu.Lock()
		c := l.cursors["sink"]
		l.mu.Unlock()
		m.mu.Lock()
		m.space += 10000 // positions are stored by writing beside the old ones
		m.mu.Unlock()
		c.Ack(last)
		ackUpTo(t, c, last)
		time.Sleep(backOffMost)
		if seq, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil || seq != last+1 {
			t.Fatalf("%d %v", seq, err)
		}
		reopenAndCheck(t, m, l, last+1)
	})
}

func TestDiskFullDropsOldest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l, last := fullDisk(t, DropOldest)
		s := l.Stats()
		if s.State != StateOK || s.Dropped[DropOldestUnsent].Entries != s.First-1 || s.First == 1 || last != 100 {
			t.Fatalf("%+v", s)
		}
		reopenAndCheck(t, m, l, 100)
	})
}

// TestOpenOnAFullDisk starts with no byte free: reading works, writing waits.
func TestOpenOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, l, last := fullDisk(t, Refuse)
		if err := l.Close(); err != nil {
			t.Log(err) // positions could not be stored
		}
		m.mu.Lock()
		m.space = 1
		m.mu.Unlock()
		l, err := open(m, Options{SegmentBytes: 8 << 10})
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Cursor("sink")
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= last; seq++ {
			if e, err := c.Next(t.Context(), nil); err != nil || e.Seq != seq {
				t.Fatalf("%d %v", e.Seq, err)
			}
		}
		m.mu.Lock()
		m.space = diskSpace * 2
		m.mu.Unlock()
		if seq, err := l.Append(t.Context(), 1, nil); err != nil || seq != last+1 {
			t.Fatalf("%d %v", seq, err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestDeadDisk lets every write fail for a while, under each policy.
func TestDeadDisk(t *testing.T) {
	for _, p := range []Policy{Refuse, DropNew, DropOldest} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deadDisk(t, p) })
		})
	}
}

func deadDisk(t *testing.T, p Policy) {
	t.Helper()
	m := newMemFS()
	l, err := open(m, Options{WhenFull: p})
	if err != nil {
		t.Fatal(err)
	}
	m.setFault(func(op, _ string) error {
		if op == "sync" {
			return errDisk
		}
		return nil
	})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	_, err = l.Append(ctx, 5, make([]byte, 1000))
	if p == DropNew && !errors.Is(err, ErrDropped) || p != DropNew && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	s := l.Stats()
	if s.State != StateIOError || s.StateError == "" {
		t.Fatalf("%+v", s)
	}
	if dropped := s.Dropped[DropIOError]; p == DropNew && dropped != (Count{1, 5}) {
		t.Fatalf("%+v", dropped)
	}
	m.setFault(nil)
	time.Sleep(2 * backOffMost)
	if seq, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil || seq != 1 {
		t.Fatalf("%d %v", seq, err)
	}
	reopenAndCheck(t, m, l, 1)
}
