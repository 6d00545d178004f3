package spool

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// grant is a Room that has more space for a full disk, 4 KiB at a time.
type grant struct {
	disk  *memFS
	given atomic.Int64
}

func (g *grant) Do(f func() error) error {
	for {
		err := f()
		if !isFull(err) {
			return err
		}
		g.disk.mu.Lock()
		g.disk.space += 4 << 10
		g.disk.mu.Unlock()
		g.given.Add(1)
	}
}

// TestPositionsOnAFullDisk stores mark and cursors where no byte is free.
func TestPositionsOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		room := &grant{disk: m}
		o := Options{SegmentBytes: 8 << 10, KeepSent: time.Hour, Room: room}
		l, err := open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Cursor("sink")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if _, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
		}
		m.mu.Lock()
		m.space = m.used()
		m.mu.Unlock()
		ackUpTo(t, c, 3)
		if room.given.Load() == 0 {
			t.Fatal("the cursor was stored without room")
		}
		fresh, err := l.Cursor("late")
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := open(m, o)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := again.Cursor("sink"); err != nil || c.Acked() != 3 || fresh.Acked() != 0 {
			t.Fatalf("acknowledged %d: %v", c.Acked(), err)
		}
		if err := again.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestSegmentsTakeNoRoom: what is kept for positions is not for entries.
func TestSegmentsTakeNoRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		room := &grant{disk: m}
		l, err := open(m, Options{Room: room})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(t.Context(), 1, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		m.mu.Lock()
		m.space = m.used()
		m.mu.Unlock()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if seq, err := l.Append(ctx, 1, make([]byte, 8<<10)); err == nil {
			t.Fatalf("entry %d was written with room %d times", seq, room.given.Load())
		}
		if s := l.Stats(); s.State != StateFull {
			t.Fatalf("%+v", s)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestQuarantineOnAFullDisk puts few damaged bytes aside with room, many not, and
// leaves no half of them.
func TestQuarantineOnAFullDisk(t *testing.T) {
	for _, size := range []int{1000, 2 * quarantineRoom} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemFS()
			room := &grant{disk: m}
			l, err := open(m, Options{Room: room})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.Append(t.Context(), 1, make([]byte, size)); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
			m.mu.Lock()
			m.space = m.used()
			m.files[segmentName(1)].data[segmentHeadBytes+recordHeadBytes] ^= 1
			m.mu.Unlock()
			if _, err := l.Read(1, nil); err == nil {
				t.Fatal("damage was not found")
			}
			aside := int64(0)
			m.mu.Lock()
			for name, f := range m.files {
				if strings.HasSuffix(name, quarantineSuffix) {
					aside = int64(len(f.data))
				}
			}
			m.mu.Unlock()
			if want := int64(size + recordHeadBytes); size < quarantineRoom && aside != want || size > quarantineRoom && aside != 0 {
				t.Fatalf("%d of %d bytes put aside", aside, want)
			}
			if s := l.Stats(); s.Quarantined != aside {
				t.Fatalf("%+v", s)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}
