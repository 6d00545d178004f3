package ledger

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// disk is one directory. It is the seam at which tests lose writes, fill the
// disk and crash; one method stands for one system call, which is why there are
// more of them than an interface here usually has.
type disk interface {
	// read returns a whole file of at most maxRead bytes.
	read(name string) ([]byte, error)
	// create makes an empty file, mode 0600, instead of one that is there.
	create(name string) (file, error)
	open(name string) (file, error)
	rename(from, to string) error
	remove(name string) error
	// syncDir makes names created, renamed and removed before durable.
	syncDir() error
}

// file is an open file.
type file interface {
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	Sync() error
}

// maxRead bounds the memory for reading a log, in bytes (ours): several times
// the largest MaxBytes that makes sense.
const maxRead = 1 << 30

type directory string

func (d directory) path(name string) string { return filepath.Join(string(d), name) }

func (d directory) read(name string) ([]byte, error) {
	f, err := os.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxRead {
		return nil, fmt.Errorf("%s: %d bytes, mode %v: no gap ledger", d.path(name), st.Size(), st.Mode())
	}
	return io.ReadAll(io.LimitReader(f, maxRead))
}

func (d directory) create(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
}

func (d directory) open(name string) (file, error) {
	return os.OpenFile(d.path(name), os.O_RDWR, 0o600)
}

func (d directory) rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }

func (d directory) remove(name string) error { return os.Remove(d.path(name)) }

func (d directory) syncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
