package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

// batchBytes is the size of a batch of the link, bytes: what the design means batches to be, compressed.
const batchBytes = 256 << 10

// payload is a file of random bytes.
type payload struct {
	path string
	size int64
	sums map[int64][]byte // SHA-256 of the first so many bytes
}

// sum is the SHA-256 of the first n bytes.
func (p *payload) sum(n int64) ([]byte, error) {
	if s, ok := p.sums[n]; ok {
		return s, nil
	}
	s, err := sum(p.path, n)
	if err == nil {
		p.sums[n] = s
	}
	return s, err
}

// newPayload writes random bytes, the same for the same seed.
func newPayload(path string, size int64, seed uint64) (*payload, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	_, err = io.CopyBuffer(struct{ io.Writer }{f}, io.LimitReader(rand.NewChaCha8(key), size), make([]byte, 1<<20))
	return &payload{path: path, size: size, sums: map[int64][]byte{}}, errors.Join(err, f.Close())
}

// sum is the SHA-256 of the first n bytes of a file.
func sum(path string, n int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, io.LimitReader(f, n), make([]byte, 1<<20)); err != nil {
		return nil, err
	}
	return h.Sum(nil), nil
}

// zero overwrites the first n bytes and rewinds, so that nothing that an earlier run wrote can be taken for this one's.
// The pages stay: their first use costs a virtual machine more than the whole link.
func zero(f *os.File, n int64) error {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	blank := make([]byte, 1<<20)
	for left := n; left > 0; left -= int64(len(blank)) {
		if _, err := f.Write(blank[:min(left, int64(len(blank)))]); err != nil {
			return err
		}
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// sameBatches compares those batches of two files that were delivered, and returns how many differ.
func sameBatches(a, b string, size int64, delivered func(seq uint64) bool) (altered int, err error) {
	x, err := os.Open(a)
	if err != nil {
		return 0, err
	}
	defer x.Close() //nolint:errcheck // only read
	y, err := os.Open(b)
	if err != nil {
		return 0, err
	}
	defer y.Close() //nolint:errcheck // only read
	p, q := make([]byte, batchBytes), make([]byte, batchBytes)
	for seq, off := uint64(1), int64(0); off < size; seq, off = seq+1, off+batchBytes {
		if !delivered(seq) {
			continue
		}
		n := min(size-off, batchBytes)
		if err := errors.Join(readAt(x, p[:n], off), readAt(y, q[:n], off)); err != nil {
			return altered, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			altered++
		}
	}
	return altered, nil
}

func readAt(f *os.File, p []byte, off int64) error {
	if _, err := f.ReadAt(p, off); err != nil {
		return fmt.Errorf("%s at %d: %w", f.Name(), off, err)
	}
	return nil
}
