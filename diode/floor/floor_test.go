package floor_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/diode/floor"
)

func TestStoreAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	f, err := floor.Open(dir, "send", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := f.Load(); err != nil || m != (floor.Mark{}) {
		t.Fatalf("fresh: %+v %v", m, err)
	}
	want := floor.Mark{Session: 1 << 40, Counter: 7}
	if err := f.Store(want); err != nil {
		t.Fatal(err)
	}
	if m, err := f.Load(); err != nil || m != want {
		t.Fatalf("%+v %v", m, err)
	}
}

func TestDamageIsNamed(t *testing.T) {
	dir := t.TempDir()
	f, err := floor.Open(dir, "recv", 1, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Store(floor.Mark{Session: 9}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "recv-00000001-00000002.floor")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(); !errors.Is(err, floor.ErrDamaged) {
			t.Fatalf("byte %d flipped: %v", i, err)
		}
	}
	if err := os.WriteFile(path, whole[:5], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Load(); !errors.Is(err, floor.ErrDamaged) {
		t.Fatalf("truncated: %v", err)
	}
	if _, err := floor.Open("", "send", 1, 1); err == nil {
		t.Fatal("no directory accepted")
	}
}
