package spool_test

import (
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/internal/reserve"
	"github.com/sluice-gateway/sluice/internal/reserve/reservetest"
)

// TestSmallDisk runs a real disk full of entries: positions are still stored, and
// the log is what it was after a restart there.
func TestSmallDisk(t *testing.T) {
	const mib = 1 << 20
	reservetest.OnSmallDisk(t, 16*mib, func(t *testing.T, dir string) {
		t.Helper()
		room, err := reserve.Open(filepath.Join(dir, "reserve"), 4*mib)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = room.Close() }() // what it holds is of no further interest
		o := spool.Options{SegmentBytes: mib, Room: room}
		l := mustOpen(t, filepath.Join(dir, "spool"), o)
		c := mustCursor(t, l, "sink")
		last := fillUp(t, l)
		if s := l.Stats(); s.State != spool.StateFull || last < 10_000 {
			t.Fatalf("%d entries: %+v", last, s)
		}
		reservetest.Fill(t, dir)
		for acked := uint64(1); acked <= 20; acked++ {
			c.Ack(acked)
			mustCursor(t, l, "late") // a new file
			if err := l.RemoveCursor("late"); err != nil {
				t.Fatal(err)
			}
		}
		epoch := l.Epoch()
		mustClose(t, l)
		if s := room.State(); s.Releases == 0 || s.Held < 2*mib {
			t.Fatalf("%+v", s)
		}
		l = mustOpen(t, filepath.Join(dir, "spool"), o)
		c = mustCursor(t, l, "sink")
		if _, next, _ := l.Bounds(); c.Acked() != 20 || next != last+1 || l.Epoch() != epoch {
			t.Fatalf("acknowledged %d, next %d", c.Acked(), next)
		}
		drain(t, c, 21, 40, fullEntry)
		c.Ack(last) // all segments but the newest go
		eventually(t, "room for entries", func() bool { return l.Stats().Segments == 1 })
		fill(t, l, last+11, fullEntry)
	})
}
