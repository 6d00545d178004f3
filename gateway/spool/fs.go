package spool

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// fileSystem is one flat directory. It is the seam at which tests lose writes,
// fill the disk and crash; one method stands for one system call, which is why
// there are more of them than an interface here usually has.
type fileSystem interface {
	// lock takes the directory for this Log until the closer is closed.
	lock() (io.Closer, error)
	// list names the files with their sizes and times of last change.
	list() ([]fileInfo, error)
	// open takes os.O_* flags; files are made with mode 0600.
	open(name string, flag int) (file, error)
	rename(from, to string) error
	remove(name string) error
	// touch sets a file's time of last change.
	touch(name string, at time.Time) error
	// syncDir makes names created, renamed and removed before durable.
	syncDir() error
	close() error
}

// file is an open file.
type file interface {
	io.ReaderAt
	// writeAt writes all buffers one after the other from off on, or fails. It
	// may use the slice bufs up, not the bytes.
	writeAt(bufs [][]byte, off int64) error
	// sync is fdatasync: the data and what is needed to read it back.
	sync() error
	truncate(size int64) error
	close() error
}

type fileInfo struct {
	name    string
	size    int64
	changed time.Time
}

// replaceFile puts data under name such that after a crash either the old or the
// new content is found, whole (rename(2)).
func replaceFile(fsys fileSystem, name string, data []byte) error {
	tmp := name + tempSuffix
	if err := writeFile(fsys, tmp, data); err != nil {
		return err
	}
	if err := fsys.rename(tmp, name); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := fsys.syncDir(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// replace is replaceFile, with Options.Room on a full disk.
func (l *Log) replace(name string, data []byte) error {
	return l.opts.inRoom(func() error { return replaceFile(l.fs, name, data) })
}

func writeFile(fsys fileSystem, name string, data []byte) (err error) {
	f, err := fsys.open(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer func() {
		if e := f.close(); e != nil && err == nil {
			err = fmt.Errorf("%s: %w", name, e)
		}
	}()
	if err := f.writeAt([][]byte{data}, 0); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := f.sync(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// readSmallFile reads a file of which at most limit bytes are of interest.
func readSmallFile(fsys fileSystem, name string, limit int) ([]byte, error) {
	f, err := fsys.open(name, os.O_RDONLY)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer func() { _ = f.close() }() // read only: nothing to lose
	b := make([]byte, limit)
	n, err := f.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return b[:n], nil
}

// absentFile stands for a segment that is not there any more.
type absentFile struct{}

func (absentFile) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (absentFile) writeAt([][]byte, int64) error     { return fs.ErrNotExist }
func (absentFile) sync() error                       { return nil }
func (absentFile) truncate(int64) error              { return fs.ErrNotExist }
func (absentFile) close() error                      { return nil }
