package pluginhost

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// program writes a file that passes for a program of this machine.
func program(t *testing.T, path, content string) {
	t.Helper()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(self[:64:64], content...), 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestImagesFollowTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice-sink-x")
	program(t, path, "one")
	s := images{byPath: map[string]*image{}}
	get := func() *image {
		t.Helper()
		img, err := s.get(path)
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	first, again := get(), get()
	if first != again {
		t.Error("the same file was copied twice")
	}
	program(t, path, "other")
	second := get()
	if second == first || second.sha256 == first.sha256 {
		t.Error("the new file was not seen")
	}
	s.put(first)
	if _, err := first.file.Stat(); err != nil {
		t.Errorf("a user has lost its image: %v", err)
	}
	s.put(again)
	if _, err := first.file.Stat(); err == nil {
		t.Error("the old image is kept")
	}
	s.close()
	if _, err := second.file.Stat(); err != nil {
		t.Errorf("a user has lost its image: %v", err)
	}
	s.put(second)
	if _, err := second.file.Stat(); err == nil {
		t.Error("the image is kept after close")
	}
}

// TestImageCannotChange: neither the file nor its descriptor lead into a sealed image.
func TestImageCannotChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice-sink-x")
	program(t, path, "content")
	img, err := seal(path)
	if err != nil {
		t.Fatal(err)
	}
	defer img.file.Close() //nolint:errcheck // a test's
	if _, err := img.file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("written to")
	}
	if err := img.file.Truncate(1); err == nil {
		t.Error("truncated")
	}
	if _, err := unix.FcntlInt(img.file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_FUTURE_WRITE); err == nil {
		t.Error("seals changed")
	}
	if _, err := unix.Mmap(int(img.file.Fd()), 0, 4096, unix.PROT_WRITE, unix.MAP_SHARED); err == nil {
		t.Error("mapped writable")
	}
}
