package floor_test

import (
	"errors"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/internal/reserve"
	"github.com/sluice-gateway/sluice/internal/reserve/reservetest"
)

// TestStoreOnFullDisk opens session after session where no byte is free.
func TestStoreOnFullDisk(t *testing.T) {
	const mib = 1 << 20
	reservetest.OnSmallDisk(t, 8*mib, func(t *testing.T, dir string) {
		t.Helper()
		room, err := reserve.Open(filepath.Join(dir, "reserve"), 2*mib)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = room.Close() }() // what it holds is of no further interest
		reservetest.Fill(t, dir)
		state := filepath.Join(dir, "link", "state")
		if plain, err := floor.Open(state, "send", 1, 2); err == nil {
			if err := plain.Store(floor.Mark{Session: 1}); !errors.Is(err, unix.ENOSPC) {
				t.Fatalf("the disk is not full: %v", err)
			}
		}
		f, err := floor.Open(state, "send", 1, 2, floor.WithRoom(room))
		if err != nil {
			t.Fatal(err)
		}
		for session := uint64(1); session <= 50; session++ {
			if err := f.Store(floor.Mark{Session: session}); err != nil {
				t.Fatalf("session %d: %v: %+v", session, err, room.State())
			}
		}
		if m, err := f.Load(); err != nil || m.Session != 50 {
			t.Fatalf("%+v %v", m, err)
		}
		if s := room.State(); s.Releases == 0 || s.Held < mib {
			t.Fatalf("%+v", s)
		}
	})
}
