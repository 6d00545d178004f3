package ledger

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"math/rand/v2"
	"sync"
	"syscall"
)

// memDisk keeps what was written apart from what would survive a crash.
type memDisk struct {
	mu      sync.Mutex
	live    map[string]*memFile // names as the process sees them
	durable map[string]*memFile // names as of the last syncDir
	fault   func(op string) error
	ops     []string
}

type memFile struct {
	d            *memDisk
	data, synced []byte
}

func newMemDisk() *memDisk {
	return &memDisk{live: map[string]*memFile{}, durable: map[string]*memFile{}}
}

// step counts an operation and asks whether it fails.
func (d *memDisk) step(op string) error {
	d.ops = append(d.ops, op)
	if d.fault == nil {
		return nil
	}
	return d.fault(op)
}

func (d *memDisk) do(op string, f func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.step(op); err != nil {
		return err
	}
	return f()
}

func (d *memDisk) read(name string) (b []byte, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, ok := d.live[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return bytes.Clone(f.data), nil
}

func (d *memDisk) create(name string) (f file, err error) {
	err = d.do("create", func() error {
		x := &memFile{d: d}
		d.live[name], f = x, x
		return nil
	})
	return f, err
}

func (d *memDisk) open(name string) (f file, err error) {
	err = d.do("open", func() error {
		x, ok := d.live[name]
		if !ok {
			return fs.ErrNotExist
		}
		f = x
		return nil
	})
	return f, err
}

func (d *memDisk) rename(from, to string) error {
	return d.do("rename", func() error {
		d.live[to] = d.live[from]
		delete(d.live, from)
		return nil
	})
}

func (d *memDisk) remove(name string) error {
	return d.do("remove", func() error {
		if _, ok := d.live[name]; !ok {
			return fs.ErrNotExist
		}
		delete(d.live, name)
		return nil
	})
}

func (d *memDisk) syncDir() error {
	return d.do("syncDir", func() error {
		d.durable = map[string]*memFile{}
		maps.Copy(d.durable, d.live)
		return nil
	})
}

func (f *memFile) WriteAt(p []byte, off int64) (n int, err error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	err = f.d.step("write")
	if err != nil {
		p = p[:len(p)/2] // a full disk takes a part
	}
	if need := int(off) + len(p); need > len(f.data) {
		f.data = append(f.data, make([]byte, need-len(f.data))...)
	}
	return copy(f.data[off:], p), err
}

func (f *memFile) Truncate(size int64) error {
	return f.d.do("truncate", func() error {
		f.data = bytes.Clone(f.data[:min(int(size), len(f.data))])
		return nil
	})
}

func (f *memFile) Sync() error {
	return f.d.do("sync", func() error {
		f.synced = bytes.Clone(f.data)
		return nil
	})
}

func (f *memFile) Close() error { return f.d.do("close", func() error { return nil }) }

// crash returns the disk as it may be found after the power failed: each
// file with any part of what was not synced, under either name.
func (d *memDisk) crash(rng *rand.Rand) *memDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := d.durable
	if rng.IntN(2) == 0 {
		names = d.live
	}
	after := newMemDisk()
	for name, f := range names {
		b := f.survives(rng)
		x := &memFile{d: after, data: b, synced: bytes.Clone(b)}
		after.live[name], after.durable[name] = x, x
	}
	return after
}

func (f *memFile) survives(rng *rand.Rand) []byte {
	if rng.IntN(3) == 0 {
		return bytes.Clone(f.synced)
	}
	same := 0
	for same < min(len(f.synced), len(f.data)) && f.synced[same] == f.data[same] {
		same++
	}
	b := bytes.Clone(f.data)
	if len(b) == same {
		return b
	}
	b = b[:same+rng.IntN(len(b)-same+1)]
	if hole := len(b) - same; hole > 0 && rng.IntN(2) == 0 {
		from := same + rng.IntN(hole)
		clear(b[from : from+rng.IntN(len(b)-from)+1])
	}
	return b
}

var errDead = errors.New("the power is off")

const errFull = syscall.ENOSPC
