package floor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
)

// Mark is what is kept per link, side and key.
type Mark struct {
	Session uint64 // newest session opened or accepted
	Counter uint64 // counters below it are spent (receive side)
}

const (
	magic     = "sdfl"
	fileBytes = 4 + 8 + 8 + 4 // magic, session, counter, CRC-32C
)

// ErrDamaged is wrapped by the error about a file that is not what Store
// wrote. It is for the operator to decide: a lost floor on the receive side
// lets old sessions in again.
var ErrDamaged = errors.New("floor: damaged")

// File is one mark on disk.
type File struct {
	path string
	room room
}

// room runs what writes, so that it finds room on a full disk.
type room interface{ Do(f func() error) error }

// Option changes how a mark is kept.
type Option func(*File)

// WithRoom lets r run what writes: it may call its function again after an error
// that says that the disk is full, having made room.
func WithRoom(r interface{ Do(f func() error) error }) Option {
	return func(f *File) { f.room = r }
}

// plain makes no room.
type plain struct{}

func (plain) Do(f func() error) error { return f() }

// Open names the mark of one side ("send" or "recv"), link number and key
// number below dir, which is made when missing.
func Open(dir, side string, link, key uint32, options ...Option) (*File, error) {
	if dir == "" {
		return nil, errors.New("floor: no state directory")
	}
	f := &File{path: filepath.Join(dir, fmt.Sprintf("%s-%08x-%08x.floor", side, link, key)), room: plain{}}
	for _, o := range options {
		o(f)
	}
	if err := f.room.Do(func() error { return os.MkdirAll(dir, 0o700) }); err != nil {
		return nil, fmt.Errorf("floor: %w", err)
	}
	return f, nil
}

// Load returns the mark, or a zero mark when none was stored yet.
func (f *File) Load() (Mark, error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, nil
	}
	if err != nil {
		return Mark{}, fmt.Errorf("floor: %w", err)
	}
	if len(b) != fileBytes || string(b[:4]) != magic || binary.BigEndian.Uint32(b[20:]) != checksum(b[:20]) {
		return Mark{}, fmt.Errorf("%w: %s: remove it only when no old session can be replayed, or make a new pairing", ErrDamaged, f.path)
	}
	return Mark{Session: binary.BigEndian.Uint64(b[4:]), Counter: binary.BigEndian.Uint64(b[12:])}, nil
}

// Store replaces the mark. When it returns nil the mark is on disk.
func (f *File) Store(m Mark) error {
	b := make([]byte, 0, fileBytes)
	b = append(b, magic...)
	b = binary.BigEndian.AppendUint64(b, m.Session)
	b = binary.BigEndian.AppendUint64(b, m.Counter)
	b = binary.BigEndian.AppendUint32(b, checksum(b))
	if err := f.room.Do(func() error { return f.replace(b) }); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return nil
}

// replace writes beside the old content, which stays whole until the new is.
func (f *File) replace(b []byte) error {
	if err := writeSynced(f.path+".tmp", b); err != nil {
		return err
	}
	if err := os.Rename(f.path+".tmp", f.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

func checksum(b []byte) uint32 {
	return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
