package spool

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// memFS is a directory in memory that remembers every operation, so that any
// state can be made that a crash may leave: what was not synced is lost, kept or
// torn, each write for itself.
type memFS struct {
	mu     sync.Mutex
	files  map[string]*inode
	trace  []op
	space  int64                       // bytes that files may take together; 0: no limit
	fault  func(op, name string) error // asked before each operation
	locked bool
	// Planted bugs:
	deafSync    bool // files' sync does nothing
	deafSyncDir bool // syncDir does nothing
}

type inode struct {
	id      int
	data    []byte
	changed time.Time
}

// op is one operation as a crash sees it.
type op struct {
	kind string // write, truncate, sync, create, rename, remove, syncdir, acked
	node int
	off  int64
	data []byte
	name string
	to   string
	seq  uint64
}

func newMemFS() *memFS { return &memFS{files: map[string]*inode{}} }

// do runs f under the lock unless a fault is due, and records o.
func (m *memFS) do(kind, name string, f func() ([]op, error)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fault != nil {
		if err := m.fault(kind, name); err != nil {
			return err
		}
	}
	ops, err := f()
	m.trace = append(m.trace, ops...)
	return err
}

// note records that seq was acknowledged.
func (m *memFS) note(seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trace = append(m.trace, op{kind: "acked", seq: seq})
}

type unlocker func()

func (u unlocker) Close() error { u(); return nil }

func (m *memFS) lock() (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.locked {
		return nil, ErrLocked
	}
	m.locked = true
	return unlocker(func() { m.mu.Lock(); m.locked = false; m.mu.Unlock() }), nil
}

func (m *memFS) list() (out []fileInfo, err error) {
	err = m.do("list", "", func() ([]op, error) {
		for name, n := range m.files {
			out = append(out, fileInfo{name: name, size: int64(len(n.data)), changed: n.changed})
		}
		return nil, nil
	})
	return out, err
}

func (m *memFS) open(name string, flag int) (file, error) {
	kind := "open"
	if flag == os.O_RDONLY {
		kind = "openread"
	}
	var n *inode
	err := m.do(kind, name, func() ([]op, error) {
		var found bool
		n, found = m.files[name]
		switch {
		case !found && flag&os.O_CREATE == 0:
			return nil, fs.ErrNotExist
		case found && flag&os.O_EXCL != 0:
			return nil, fs.ErrExist
		case !found:
			n = &inode{id: len(m.trace) + 1000, changed: time.Now()}
			m.files[name] = n
			return []op{{kind: "create", name: name, node: n.id}}, nil
		case flag&os.O_TRUNC != 0:
			n.data = nil
			return []op{{kind: "truncate", node: n.id}}, nil
		}
		return nil, nil
	})
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return &memFile{m: m, n: n, name: name}, nil
}

func (m *memFS) rename(from, to string) error {
	return m.do("rename", to, func() ([]op, error) {
		n := m.files[from]
		delete(m.files, from)
		m.files[to] = n
		return []op{{kind: "rename", name: from, to: to, node: n.id}}, nil
	})
}

func (m *memFS) remove(name string) error {
	return m.do("remove", name, func() ([]op, error) {
		if _, found := m.files[name]; !found {
			return nil, fs.ErrNotExist
		}
		delete(m.files, name)
		return []op{{kind: "remove", name: name}}, nil
	})
}

func (m *memFS) touch(name string, at time.Time) error {
	return m.do("touch", name, func() ([]op, error) {
		n, found := m.files[name]
		if !found {
			return nil, fs.ErrNotExist
		}
		n.changed = at
		return nil, nil
	})
}

func (m *memFS) syncDir() error {
	return m.do("syncdir", "", func() ([]op, error) {
		if m.deafSyncDir {
			return nil, nil
		}
		return []op{{kind: "syncdir"}}, nil
	})
}

func (m *memFS) close() error { return nil }

func (m *memFS) used() (n int64) {
	for _, f := range m.files {
		n += int64(len(f.data))
	}
	return n
}

type memFile struct {
	m    *memFS
	n    *inode
	name string
}

func (f *memFile) ReadAt(b []byte, off int64) (n int, err error) {
	err = f.m.do("read", f.name, func() ([]op, error) {
		if off >= int64(len(f.n.data)) {
			return nil, io.EOF
		}
		if n = copy(b, f.n.data[off:]); n < len(b) {
			return nil, io.EOF
		}
		return nil, nil
	})
	return n, err
}

func (f *memFile) writeAt(bufs [][]byte, off int64) error {
	data := bytes.Join(bufs, nil)
	err := f.m.do("write", f.name, func() ([]op, error) {
		var err error
		grow := max(0, off+int64(len(data))-int64(len(f.n.data)))
		if f.m.space > 0 && f.m.used()+grow > f.m.space {
			err = syscall.ENOSPC
			data = data[:max(0, int64(len(data))-(f.m.used()+grow-f.m.space))]
		}
		f.n.data = overlay(f.n.data, off, data)
		f.n.changed = time.Now()
		return []op{{kind: "write", node: f.n.id, off: off, data: data}}, err
	})
	if errors.Is(err, errTorn) {
		f.m.mu.Lock()
		defer f.m.mu.Unlock()
		half := data[:len(data)/2]
		f.n.data = overlay(f.n.data, off, half)
		f.m.trace = append(f.m.trace, op{kind: "write", node: f.n.id, off: off, data: half})
	}
	return err
}

// overlay writes data over old at off, with zeros in between.
func overlay(old []byte, off int64, data []byte) []byte {
	if need := off + int64(len(data)); need > int64(len(old)) {
		old = append(old, make([]byte, need-int64(len(old)))...)
	}
	copy(old[off:], data)
	return old
}

func (f *memFile) sync() error {
	return f.m.do("sync", f.name, func() ([]op, error) {
		if f.m.deafSync {
			return nil, nil
		}
		return []op{{kind: "sync", node: f.n.id}}, nil
	})
}

func (f *memFile) truncate(size int64) error {
	return f.m.do("truncate", f.name, func() ([]op, error) {
		f.n.data = slices.Clone(f.n.data[:min(size, int64(len(f.n.data)))])
		return []op{{kind: "truncate", node: f.n.id, off: size}}, nil
	})
}

func (f *memFile) close() error { return nil }

// crashed is a directory being rebuilt from a trace.
type crashed struct {
	rnd     *rand.Rand
	content map[int][]byte // by inode: what is durable
	pending map[int][]op   // writes and cuts that are not synced
	names   map[string]int
	renames []op // changes of names that are not synced
}

// crash makes one of the states that a crash after these operations may leave.
func crash(trace []op, rnd *rand.Rand) *memFS {
	c := &crashed{rnd: rnd, content: map[int][]byte{}, pending: map[int][]op{}, names: map[string]int{}}
	for _, o := range trace {
		c.apply(o)
	}
	for _, o := range c.renames {
		if c.rnd.IntN(2) == 0 {
			c.applyName(o)
		}
	}
	m := newMemFS()
	for name, node := range c.names {
		for _, o := range c.pending[node] {
			c.tear(o)
		}
		c.pending[node] = nil
		m.files[name] = &inode{id: node, data: slices.Clone(c.content[node]), changed: time.Now()}
	}
	return m
}

func (c *crashed) apply(o op) {
	switch o.kind {
	case "write", "truncate":
		c.pending[o.node] = append(c.pending[o.node], o)
	case "sync":
		for _, p := range c.pending[o.node] {
			c.applyData(p)
		}
		c.pending[o.node] = nil
	case "create", "rename", "remove":
		c.renames = append(c.renames, o)
	case "syncdir":
		for _, p := range c.renames {
			c.applyName(p)
		}
		c.renames = nil
	}
}

func (c *crashed) applyData(o op) {
	if o.kind == "truncate" {
		c.content[o.node] = c.content[o.node][:min(o.off, int64(len(c.content[o.node])))]
		return
	}
	c.content[o.node] = overlay(slices.Clone(c.content[o.node]), o.off, o.data)
}

// tear lets a write that was not synced arrive whole, in part, or not.
func (c *crashed) tear(o op) {
	switch how := c.rnd.IntN(4); {
	case how == 0:
	case how == 1 || o.kind == "truncate":
		c.applyData(o)
	case how == 2: // cut
		o.data = o.data[:c.rnd.IntN(len(o.data)+1)]
		c.applyData(o)
	default: // some sectors of it
		const sector = 64 // smaller than real, so that small entries are torn too
		for at := 0; at < len(o.data); at += sector {
			if c.rnd.IntN(2) == 0 {
				part := op{kind: "write", node: o.node, off: o.off + int64(at), data: o.data[at:min(at+sector, len(o.data))]}
				c.applyData(part)
			}
		}
	}
}

func (c *crashed) applyName(o op) {
	switch o.kind {
	case "create":
		c.names[o.name] = o.node
	case "rename":
		delete(c.names, o.name)
		c.names[o.to] = o.node
	case "remove":
		delete(c.names, o.name)
	}
}

// setFault replaces what is asked before each operation.
func (m *memFS) setFault(f func(op, name string) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fault = f
}

var (
	errDisk = errors.New("input/output error")
	errTorn = errors.New("cut in the middle")
)
