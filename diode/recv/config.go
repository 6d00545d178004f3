package recv

import (
	"context"
	"crypto/hpke"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// Sink takes what the link delivers. Both methods are called from one
// goroutine, in stream order per series.
type Sink interface {
	// Deliver takes a batch. Data is the sink's until it calls done, exactly
	// once, from any goroutine, in the order of the Deliver calls; nil says
	// that the batch is durable. An error, of Deliver (done is then not
	// called) or of done, makes the batch a gap with diode.ReasonFarIO, or
	// with the reason that a GapReason() string in the error's chain gives.
	// Deliver may block: the receiver then fills its memory and, when that is
	// full, drops whole batches and names them. done may come after Run has
	// returned.
	Deliver(ctx context.Context, b diode.Batch, done func(error)) error
	// Gap records durably that batches are missing, at this place of the
	// stream. An error ends Run: a loss that cannot be recorded must not be
	// passed over.
	Gap(ctx context.Context, g diode.Gap) error
}

// PacketReader receives one datagram per Read: a *net.UDPConn or a link in
// memory. When it is also a syscall.Conn, UDP_GRO and recvmmsg(2) are used;
// when it has
//
//	ReadBurst(dst []byte, add func(off, n int)) error
//	Drops() uint64
//
// (diode/capture), many datagrams are taken with one call and what was dropped
// before it is counted. Run sets the read deadline to stop reading.
type PacketReader interface {
	Read(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
}

// Key is one pairing.
type Key struct {
	ID      uint32
	PSK     [32]byte
	Private hpke.PrivateKey // of frame.KEM
}

// Path is one link on which the batches come. Several paths carry the same
// batches in parallel: each is delivered once.
type Path struct {
	Link   string // name of the link, for messages and LinkID
	LinkID uint32 // 0 = frame.LinkID(Link)
	Keys   []Key  // several while pairings overlap
	Conn   PacketReader
	// Open opens the connection, in place of Conn, and again when it was closed:
	// meanwhile the path is silent, and the other paths and what waits here are
	// not touched. It may wait until ctx ends. What it returns is closed by the
	// receiver if it is an io.Closer.
	Open     func(ctx context.Context) (PacketReader, error)
	StateDir string // keeps the session floors
}

// Room keeps disk space for small files.
type Room interface {
	Do(f func() error) error
}

// Config says what a receiver needs. Zero values take the default named.
type Config struct {
	Name  string // for messages; empty = that of the first path
	Paths []Path // 1 to 4

	// Positions say how far each series is durable. Of several epochs of one
	// class the newest stands last.
	Positions []diode.Position
	// Open are the ranges that are recorded as gaps and not filled: a batch
	// from one of them is delivered late instead of being taken for a
	// duplicate. May be empty.
	Open []diode.Gap

	MemoryBytes int64         // reordering and queue together; 0 = 256 MiB
	HoleAfter   time.Duration // how long a hole may wait for repeats or on a quiet link, beyond the largest repeat; 0 = 3 s
	AlarmAfter  time.Duration // without a heartbeat a path counts as silent; 0 = 5 s

	Sink Sink
	// Heard is called with every authentic heartbeat of the newest session of a
	// path, from the receiver's loop and under its lock: it must not block and
	// must not call the receiver. nil = nobody listens.
	Heard func(link string, hb frame.Heartbeat)
	// Room stores floors also on a full disk. nil = as it is.
	Room Room
	Log  *slog.Logger // nil = none
}

const (
	defaultMemory = 256 << 20
	minMemory     = 16 << 20 // a few full blocks and two of the largest batches
	defaultHole   = 3 * time.Second
	minHole       = 500 * time.Millisecond // blocks are given up after 300 ms; a hole must not be declared before
	defaultAlarm  = 5 * time.Second        // config.md
	maxKeys       = 8
	maxPaths      = 4
)

func (c Config) withDefaults() Config {
	paths := make([]Path, len(c.Paths))
	for i, p := range c.Paths {
		setDefault(&p.LinkID, frame.LinkID(p.Link))
		paths[i] = p
	}
	c.Paths = paths
	if len(paths) > 0 {
		setDefault(&c.Name, paths[0].Link)
	}
	setDefault(&c.MemoryBytes, defaultMemory)
	setDefault(&c.HoleAfter, defaultHole)
	setDefault(&c.AlarmAfter, defaultAlarm)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// problems of a configuration, all of which are told at once.
type problems []error

func (p *problems) add(bad bool, format string, args ...any) {
	if bad {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (c Config) check() error {
	var p problems
	p.add(len(c.Paths) == 0 || len(c.Paths) > maxPaths, "%d paths; 1 to %d are possible", len(c.Paths), maxPaths)
	seen := make(map[uint32]bool)
	for _, path := range c.Paths {
		p.add(seen[path.LinkID], "link %q comes twice", path.Link)
		seen[path.LinkID] = true
		p = append(p, path.check()...)
	}
	p.add(c.Sink == nil, "no sink")
	p.add(c.MemoryBytes < minMemory, "memory of %d bytes is below %d", c.MemoryBytes, minMemory)
	p.add(c.HoleAfter < minHole, "hole after %v is below %v", c.HoleAfter, minHole)
	p.add(c.AlarmAfter < 0, "alarm after %v is negative", c.AlarmAfter)
	if len(p) > 0 {
		return fmt.Errorf("recv: link %q: %w", c.Name, errors.Join(p...))
	}
	return nil
}

func (c Path) check() (p problems) {
	p.add(c.Link == "", "a link has no name")
	p.add(len(c.Keys) == 0 || len(c.Keys) > maxKeys, "link %q: %d keys; 1 to %d are possible", c.Link, len(c.Keys), maxKeys)
	seen := make(map[uint32]bool)
	for _, k := range c.Keys {
		p.add(k.PSK == [32]byte{}, "link %q: key %d has no pre-shared key", c.Link, k.ID)
		p.add(k.Private == nil, "link %q: key %d has no private key", c.Link, k.ID)
		p.add(seen[k.ID], "link %q: key %d is given twice", c.Link, k.ID)
		seen[k.ID] = true
	}
	p.add((c.Conn == nil) == (c.Open == nil), "link %q: either a connection or how to open it", c.Link)
	return p
}
