package reserve

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// statBlock is the unit of st_blocks (stat(2)).
const statBlock = 512

// osDisk is the real one.
type osDisk struct{}

func (osDisk) open(path string) (blocks, int64, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, 0, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, 0, err
	}
	allocated, err := allocatedBytes(f)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return &osFile{File: f}, allocated, nil
}

// allocatedBytes is the file's length, or 0 when it has holes: a copy out of a
// backup may have them.
func allocatedBytes(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Blocks*statBlock < info.Size() {
		return 0, nil
	}
	return info.Size(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

type osFile struct{ *os.File }

// grow uses fallocate(2), or writes zeros where the file system has none.
func (f *osFile) grow(from, to int64) error {
	err := f.fallocate(from, to)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = f.zeros(from, to)
	}
	if err != nil {
		// Some file systems keep what they could allocate before the disk was full.
		return errors.Join(err, f.Truncate(from))
	}
	return nil
}

func (f *osFile) fallocate(from, to int64) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var callErr error
	err = conn.Control(func(fd uintptr) {
		for callErr = unix.EINTR; errors.Is(callErr, unix.EINTR); {
			callErr = unix.Fallocate(int(fd), 0, from, to-from)
		}
	})
	return errors.Join(err, callErr)
}

func (f *osFile) zeros(from, to int64) error {
	zero := make([]byte, min(stepBytes, to-from))
	for from < to {
		n, err := f.WriteAt(zero[:min(int64(len(zero)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return f.Sync()
}

// cut syncs because a journalling file system gives freed blocks to others only
// when the change is committed.
func (f *osFile) cut(to int64) error {
	if err := f.Truncate(to); err != nil {
		return err
	}
	return f.Sync()
}

func (f *osFile) close() error { return f.Close() }

// isFull says whether an error means that the disk or a quota is used up.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
