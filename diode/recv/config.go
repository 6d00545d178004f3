package recv

import (
	"context"
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
	// called) or of done, makes the batch a gap with diode.ReasonFarIO.
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
// memory. When it is also a syscall.Conn, UDP_GRO and recvmmsg(2) are used.
// Run sets the read deadline to stop reading.
type PacketReader interface {
	Read(p []byte) (int, error)
	SetReadDeadline(t time.Time) error
}

// Key is one pairing.
type Key struct {
	ID  uint32
	PSK [32]byte
}

// Config says what a receiver needs. Zero values take the default named.
type Config struct {
	Link   string // name of the link, for messages and LinkID
	LinkID uint32 // 0 = frame.LinkID(Link)
	// PSK and KeyID are one pairing. Keys are further ones, while pairings
	// overlap; either may be left out.
	PSK   [32]byte
	KeyID uint32
	Keys  []Key

	Conn PacketReader
	// Positions say how far each series is durable. Of several epochs of one
	// class the newest stands last.
	Positions []diode.Position
	// Open are the ranges that are recorded as gaps and not filled: a batch
	// from one of them is delivered late instead of being taken for a
	// duplicate. May be empty.
	Open     []diode.Gap
	StateDir string // keeps the session floor

	MemoryBytes int64         // reordering and queue together; 0 = 256 MiB
	HoleAfter   time.Duration // how long a hole may wait for repeats or on a quiet link, beyond the largest repeat; 0 = 3 s
	AlarmAfter  time.Duration // without a heartbeat the link counts as silent; 0 = 5 s

	Sink Sink
	Log  *slog.Logger // nil = none
}

const (
	defaultMemory = 256 << 20
	minMemory     = 16 << 20 // a few full blocks and two of the largest batches
	defaultHole   = 3 * time.Second
	minHole       = 500 * time.Millisecond // blocks are given up after 300 ms; a hole must not be declared before
	defaultAlarm  = 5 * time.Second        // config.md
	maxKeys       = 8
)

func (c Config) withDefaults() Config {
	setDefault(&c.LinkID, frame.LinkID(c.Link))
	setDefault(&c.MemoryBytes, defaultMemory)
	setDefault(&c.HoleAfter, defaultHole)
	setDefault(&c.AlarmAfter, defaultAlarm)
	if c.PSK != [32]byte{} {
		c.Keys = append([]Key{{ID: c.KeyID, PSK: c.PSK}}, c.Keys...)
	}
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

func (c Config) check() error {
	var errs []error
	refuse := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	refuse(c.Link == "", "the link has no name")
	refuse(len(c.Keys) == 0 || len(c.Keys) > maxKeys, "%d keys; 1 to %d are possible", len(c.Keys), maxKeys)
	seen := make(map[uint32]bool)
	for _, k := range c.Keys {
		refuse(k.PSK == [32]byte{}, "key %d has no pre-shared key", k.ID)
		refuse(seen[k.ID], "key %d is given twice", k.ID)
		seen[k.ID] = true
	}
	refuse(c.Conn == nil, "no connection")
	refuse(c.Sink == nil, "no sink")
	refuse(c.MemoryBytes < minMemory, "memory of %d bytes is below %d", c.MemoryBytes, minMemory)
	refuse(c.HoleAfter < minHole, "hole after %v is below %v", c.HoleAfter, minHole)
	refuse(c.AlarmAfter < 0, "alarm after %v is negative", c.AlarmAfter)
	if len(errs) > 0 {
		return fmt.Errorf("recv: link %q: %w", c.Link, errors.Join(errs...))
	}
	return nil
}
