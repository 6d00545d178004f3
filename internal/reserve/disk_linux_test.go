package reserve_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/internal/reserve"
	"github.com/sluice-gateway/sluice/internal/reserve/reservetest"
)

const mib = 1 << 20

// write makes or replaces a file in one go.
func write(dir, name string, n int) error {
	tmp := filepath.Join(dir, name+".tmp")
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, n))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, name))
}

func mustOpen(t *testing.T, path string, size int64) *reserve.Reserve {
	t.Helper()
	r, err := reserve.Open(path, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// TestFullDisk fills a real file system: small files still find room, again and
// again, and the reserve grows back when space returns.
func TestFullDisk(t *testing.T) {
	reservetest.OnSmallDisk(t, 16*mib, func(t *testing.T, dir string) {
		t.Helper()
		r := mustOpen(t, filepath.Join(dir, "state", "reserve"), 4*mib)
		if s := r.State(); s.Held != 4*mib || s.Err != nil {
			t.Fatalf("%+v", s)
		}
		free := reservetest.Fill(t, dir)
		if err := write(dir, "without", 4096); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
		for i := range 500 {
			if err := r.Do(func() error { return write(dir, fmt.Sprintf("small-%d", i%20), 4096) }); err != nil {
				t.Fatalf("write %d: %v: %+v", i, err, r.State())
			}
		}
		s := r.State()
		if s.Releases == 0 || s.Held < 3*mib || !errors.Is(s.Err, unix.ENOSPC) {
			t.Fatalf("%+v", s)
		}
		if info, err := os.Stat(s.Path); err != nil || info.Size() != s.Held {
			t.Fatalf("the file has %d bytes, %d are held: %v", info.Size(), s.Held, err)
		}
		free()
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		again := mustOpen(t, s.Path, 4*mib) // grows what it finds
		if s := again.State(); s.Held != 4*mib || s.Err != nil {
			t.Fatalf("%+v", s)
		}
	})
}

// TestOpenOnFullDisk starts where no byte is free: that is a state.
func TestOpenOnFullDisk(t *testing.T) {
	reservetest.OnSmallDisk(t, 8*mib, func(t *testing.T, dir string) {
		t.Helper()
		free := reservetest.Fill(t, dir)
		r := mustOpen(t, filepath.Join(dir, "reserve"), 2*mib)
		if s := r.State(); s.Held != 0 || !errors.Is(s.Err, unix.ENOSPC) {
			t.Fatalf("%+v", s)
		}
		if err := r.Do(func() error { return write(dir, "small", 4096) }); !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("%v", err)
		}
		free()
		if err := r.Do(func() error { return write(dir, "small", 4096) }); err != nil {
			t.Fatal(err)
		}
	})
}

// TestExistingFile takes over what another start has left.
func TestExistingFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reserve")
	for _, size := range []int64{2 * mib, 3 * mib, mib, mib + 1} {
		r := mustOpen(t, path, size)
		info, err := os.Stat(path)
		if err != nil || info.Size() != size || r.State().Held != size {
			t.Fatalf("%d bytes, %d wanted, %+v: %v", info.Size(), size, r.State(), err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// One with holes, as a backup restores it, holds no room: it is allocated anew.
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 4*mib); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, 4*mib)
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Blocks*512 < 4*mib {
		t.Fatalf("%d blocks: %v", st.Blocks, err)
	}
}

func TestBadPath(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", filepath.Join(file, "reserve"), t.TempDir()} {
		if r, err := reserve.Open(bad, mib); err == nil {
			t.Errorf("%q was taken", bad)
			_ = r.Close()
		}
	}
	if _, err := reserve.Open(filepath.Join(t.TempDir(), "reserve"), -1); err == nil {
		t.Error("a negative size was taken")
	}
}
