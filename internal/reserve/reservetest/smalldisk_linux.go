package reservetest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// diskVariable names, in the second process, where its disk is.
const diskVariable = "SLUICE_TEST_SMALL_DISK"

// OnSmallDisk runs the calling test, which must not be a subtest, again in a
// process of its own, where dir is a file system of size bytes. It skips, saying
// why, when the user may not mount one.
func OnSmallDisk(t *testing.T, size int64, test func(t *testing.T, dir string)) {
	t.Helper()
	if dir := os.Getenv(diskVariable); dir != "" {
		mount(t, dir, size)
		test(t, dir)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("skipped: only root may mount a small file system in a namespace of its own")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1")
	cmd.Env = append(os.Environ(), diskVariable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) {
		t.Skipf("skipped: no mount namespace here: %v", err)
	}
	if err != nil {
		t.Fatalf("on a disk of %d bytes: %v\n%s", size, err, out)
	}
}

// mount makes the disk. Private first: else the machine would see it.
func mount(t *testing.T, dir string, size int64) {
	t.Helper()
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatal(err)
	}
}

// Fill takes all that is left of the disk, to the last block, and gives a
// function that frees it.
func Fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	for block := make([]byte, 64<<10); len(block) > 0; {
		if _, err := f.Write(block); errors.Is(err, unix.ENOSPC) {
			block = block[:len(block)/2]
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
