package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	lockName = "lock"
	// maxIovecs is Linux' UIO_MAXIOV (writev(2)).
	maxIovecs = 1024
)

// diskFS is the real directory.
type diskFS struct {
	root *os.Root
	dir  *os.File
}

// newFileSystem makes dir (mode 0700) when it is missing and opens it.
func newFileSystem(dir string) (fileSystem, error) {
	if err := makeDir(filepath.Clean(dir)); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	d, err := root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("spool: %w", errors.Join(err, root.Close()))
	}
	return &diskFS{root: root, dir: d}, nil
}

// makeDir makes dir and what is missing above it, each name durable in its parent.
func makeDir(dir string) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if err := makeDir(parent); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncPath(parent)
}

// syncPath syncs a directory. One that may be written but not read cannot be
// opened for it; it is then left to the file system.
func syncPath(dir string) error {
	d, err := os.Open(dir) // #nosec G304 -- parent of the configured directory
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (d *diskFS) lock() (io.Closer, error) {
	f, err := d.root.OpenFile(lockName, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	if err := flock(f); err != nil {
		holder := make([]byte, 16)
		n, _ := f.ReadAt(holder, 0) // an unreadable holder is shown as unknown
		_ = f.Close()
		return nil, d.lockError(err, strings.TrimSpace(string(holder[:n])))
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := errors.Join(f.Truncate(0), writeWhole(f, pid)); err != nil {
		// The lock holds without the text; a full disk is no reason to stay down.
		return f, nil //nolint:nilerr // the text only serves the other's error message
	}
	return f, nil
}

func writeWhole(f *os.File, p []byte) error {
	_, err := f.WriteAt(p, 0)
	return err
}

func (d *diskFS) lockError(err error, holder string) error {
	if !errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("spool: %s: lock: %w", d.root.Name(), err)
	}
	if holder == "" {
		holder = "unknown"
	}
	return fmt.Errorf("spool: %s: held by process %s: %w", d.root.Name(), holder, ErrLocked)
}

// flock takes an exclusive lock or fails at once (flock(2)).
func flock(f *os.File) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var lockErr error
	if err := conn.Control(func(fd uintptr) {
		lockErr = unix.Flock(int(fd), unix.LOCK_EX|unix.LOCK_NB) // #nosec G115 -- a descriptor
	}); err != nil {
		return err
	}
	return lockErr
}

func (d *diskFS) list() ([]fileInfo, error) {
	entries, err := os.ReadDir(d.root.Name())
	if err != nil {
		return nil, err
	}
	out := make([]fileInfo, 0, len(entries))
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		out = append(out, fileInfo{name: e.Name(), size: info.Size(), changed: info.ModTime()})
	}
	return out, nil
}

func (d *diskFS) open(name string, flag int) (file, error) {
	f, err := d.root.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err
	}
	return &diskFile{File: f}, nil
}

func (d *diskFS) rename(from, to string) error { return d.root.Rename(from, to) }
func (d *diskFS) remove(name string) error     { return d.root.Remove(name) }
func (d *diskFS) syncDir() error               { return d.dir.Sync() }

func (d *diskFS) touch(name string, at time.Time) error {
	return d.root.Chtimes(name, at, at)
}

func (d *diskFS) close() error { return errors.Join(d.dir.Close(), d.root.Close()) }

type diskFile struct{ *os.File }

// writeAt uses pwritev(2), in as many calls as the vector's limit and short
// writes ask for.
func (f *diskFile) writeAt(bufs [][]byte, off int64) error {
	if len(bufs) == 1 {
		_, err := f.WriteAt(bufs[0], off)
		return err
	}
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var n int
	for len(bufs) > 0 {
		var writeErr error
		if err := conn.Control(func(fd uintptr) {
			n, writeErr = unix.Pwritev(int(fd), bufs[:min(len(bufs), maxIovecs)], off) // #nosec G115 -- a descriptor
		}); err != nil {
			return err
		}
		switch {
		case errors.Is(writeErr, unix.EINTR):
			continue
		case writeErr != nil:
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: writeErr}
		case n == 0 && len(bufs[0]) > 0:
			return &os.PathError{Op: "pwritev", Path: f.Name(), Err: io.ErrShortWrite}
		}
		off += int64(n)
		bufs = consume(bufs, n)
	}
	return nil
}

// consume drops the first n bytes of bufs, and empty buffers before the rest.
func consume(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}

func (f *diskFile) sync() error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var syncErr error
	if err := conn.Control(func(fd uintptr) {
		syncErr = fdatasync(int(fd)) // #nosec G115 -- a descriptor
	}); err != nil {
		return err
	}
	if syncErr != nil {
		return &os.PathError{Op: "fdatasync", Path: f.Name(), Err: syncErr}
	}
	return nil
}

// fdatasync is repeated only when a signal cut it short; any other error may
// already have thrown the pages away.
func fdatasync(fd int) error {
	for {
		err := unix.Fdatasync(fd)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f *diskFile) truncate(size int64) error { return f.Truncate(size) }
func (f *diskFile) close() error              { return f.Close() }

// isFull says whether an error means that the disk or a quota is used up.
func isFull(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT)
}
