package send

import (
	"context"
	"crypto/hpke"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// Source hands out the batches of one class in order of their sequence, and
// again for copies. Next and Read are called from goroutines of their own; the
// other methods from the sender's loop, so that they should not block for long.
// All must be safe for use at the same time. A source may also have a method
// Oldest() time.Time: when the oldest batch not yet reported to Sent was taken
// in, zero when there is none; heartbeats carry it.
type Source interface {
	// Next blocks until the next batch is there or ctx ends. buf has a length
	// and capacity of diode.MaxBatchBytes; Data may alias it and belongs to
	// the sender until its next call with the same buffer. An error that is
	// not ctx's ends Run.
	Next(ctx context.Context, buf []byte) (diode.Batch, error)
	// Read returns a batch that Next has returned before. buf is as for Next. An
	// error means that it is no longer retained: the copy is left out and
	// counted. The Epoch of a batch, here and in Next, may be one before that of
	// the class; zero is that of the class.
	Read(seq uint64, buf []byte) (diode.Batch, error)
	// Sent says that every frame of everything up to and including through,
	// parity and the last configured repeat included, was accepted by the
	// kernel. It rises only. After a start the caller goes back some way
	// before it (2 s or 64 MiB): frames can be lost between kernel and wire.
	Sent(through uint64)
	// Bounds gives the first sequence retained, the next one to be given, and
	// the running sum of weights before that.
	Bounds() (first, next, sum uint64)
}

// PacketWriter sends one datagram per Write: a connected *net.UDPConn, or a
// link in memory. When it is also a syscall.Conn, UDP_SEGMENT is used
// (udp(7)).
type PacketWriter interface {
	Write(p []byte) (int, error)
}

// Config says what a sender needs. Zero values take the default named.
type Config struct {
	Link   string // name of the link, for messages and LinkID
	LinkID uint32 // 0 = frame.LinkID(Link)
	PSK    [32]byte
	KeyID  uint32

	Public hpke.PublicKey // of the receive node, from the pairing

	Classes map[diode.Class]ClassConfig
	Conn    PacketWriter
	MTU     int // bytes; 0 = 1500
	IPv6    bool

	RateBits   uint64          // bits per second on the wire, Ethernet framing included; 0 = 100 Mbit/s
	ResendBits uint64          // of that, what Resend may use; 0 = a quarter
	Parity     float64         // least parity as a fraction of data, 0…1
	MaxDelay   time.Duration   // a started block is closed after it; 0 = 5 ms
	Interleave int             // full blocks whose frames alternate, 1…16; 0 = 1
	DesignLoss float64         // 0…0.2; 0 with Parity 0 = 0.01
	Repeat     []time.Duration // each batch again so long after its first time, rising
	Heartbeat  time.Duration   // 0 = 1 s

	// Parallel says that the same batches travel over another link too: the
	// far side then does not declare a hole at once.
	Parallel bool
	// Ready says whether frames may leave now; nil = always. An error holds the
	// link with that cause. It is asked every 100 ms at most, from the loop, and
	// must be cheap.
	Ready func() error

	StateDir string // keeps the session floor
	// Room stores the floor also on a full disk: it runs f, makes room when f
	// finds none, and runs it again. nil = run f once.
	Room   Room
	Health func() []byte // carried in the heartbeat; nil = none; at most frame.MaxHealthBytes
	Log    *slog.Logger  // nil = none
}

// Room keeps disk space for small files.
type Room interface {
	Do(f func() error) error
}

// ClassConfig is what one class needs. Zero values are those of Config.
type ClassConfig struct {
	Source     Source
	Epoch      diode.Epoch // of the near spool of this class; Start 0 = 1
	Parity     float64
	DesignLoss float64
	MaxDelay   time.Duration
	Repeat     []time.Duration // nil = Config's; empty = none
}

const (
	defaultMTU       = 1500                   // bytes; Ethernet, IEEE 802.3
	defaultRate      = 100_000_000            // bit/s; the slowest diode hardware in use
	defaultDelay     = 5 * time.Millisecond   // half of the latency target's p50 minus spool time
	defaultLoss      = 0.01                   // design loss
	defaultHeartbeat = time.Second            // design
	maxInterleave    = 16                     // 16 blocks of 256 frames: as long as the receiver's reorder tolerance of 4096
	maxRepeat        = time.Hour              // of a single repeat
	maxRepeats       = 8                      // copies: more is a misuse of the line
	minRate          = 64_000                 // bit/s; below it a heartbeat takes a second
	maxDelay         = 250 * time.Millisecond // the receiver gives a quiet block up after 300 ms
)

func (c Config) withDefaults() Config {
	setDefault(&c.LinkID, frame.LinkID(c.Link))
	setDefault(&c.MTU, defaultMTU)
	setDefault(&c.RateBits, defaultRate)
	setDefault(&c.MaxDelay, defaultDelay)
	setDefault(&c.Interleave, 1)
	setDefault(&c.Heartbeat, defaultHeartbeat)
	if c.Parity == 0 && c.DesignLoss == 0 {
		c.DesignLoss = defaultLoss
	}
	setDefault(&c.ResendBits, max(c.RateBits/4, 1))
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	classes := make(map[diode.Class]ClassConfig, len(c.Classes))
	for class, own := range c.Classes {
		classes[class] = own.withDefaults(c)
	}
	c.Classes = classes
	return c
}

func (o ClassConfig) withDefaults(c Config) ClassConfig {
	if o.Parity == 0 && o.DesignLoss == 0 {
		o.Parity, o.DesignLoss = c.Parity, c.DesignLoss
	}
	setDefault(&o.MaxDelay, c.MaxDelay)
	setDefault(&o.Epoch.Start, 1)
	if o.Repeat == nil {
		o.Repeat = c.Repeat
	}
	return o
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (c Config) check() error {
	var p problems
	p.add(c.Link == "", "the link has no name")
	p.add(c.PSK == [32]byte{}, "no pre-shared key")
	p.add(c.Public == nil, "no public key of the receive node")
	p.add(c.Conn == nil, "no connection")
	p.add(len(c.Classes) == 0 || len(c.Classes) > diode.MaxClasses, "%d classes; 1 to %d are possible", len(c.Classes), diode.MaxClasses)
	p.add(c.RateBits < minRate, "rate of %d bit/s is below %d", c.RateBits, minRate)
	p.add(c.ResendBits > c.RateBits, "resend rate of %d bit/s is above the link's, %d", c.ResendBits, c.RateBits)
	p.add(c.Interleave < 1 || c.Interleave > maxInterleave, "interleave %d is not between 1 and %d", c.Interleave, maxInterleave)
	p.add(c.Heartbeat < 10*time.Millisecond || c.Heartbeat > time.Minute, "heartbeat %v is not between 10ms and 1m", c.Heartbeat)
	for _, class := range slices.Sorted(maps.Keys(c.Classes)) {
		p = append(p, c.Classes[class].check(class)...)
	}
	if len(p) > 0 {
		return fmt.Errorf("send: link %q: %w", c.Link, errors.Join(p...))
	}
	return nil
}

func (o ClassConfig) check(class diode.Class) (p problems) {
	p.add(o.Source == nil, "class %d: no source", class)
	p.add(o.Epoch.ID == [16]byte{}, "class %d: no epoch", class)
	p.add(o.Parity < 0 || o.Parity > 1, "class %d: parity %v is not between 0 and 1", class, o.Parity)
	p.add(o.DesignLoss < 0 || o.DesignLoss > 0.2, "class %d: design loss %v is not between 0 and 0.2", class, o.DesignLoss)
	p.add(o.MaxDelay < 0 || o.MaxDelay > maxDelay, "class %d: max delay %v is not between 0 and %v", class, o.MaxDelay, maxDelay)
	p.add(len(o.Repeat) > maxRepeats, "class %d: %d repeats; at most %d are possible", class, len(o.Repeat), maxRepeats)
	p.add(!slices.IsSorted(o.Repeat), "class %d: repeats are not in rising order", class)
	for _, d := range o.Repeat {
		p.add(d <= 0 || d > maxRepeat, "class %d: repeat after %v is not between 0 and %v", class, d, maxRepeat)
	}
	return p
}

// problems of a configuration, all of which are told at once.
type problems []error

func (p *problems) add(bad bool, format string, args ...any) {
	if bad {
		*p = append(*p, fmt.Errorf(format, args...))
	}
}

func (o ClassConfig) protection() fec.Protection {
	return fec.Protection{Parity: o.Parity, DesignLoss: o.DesignLoss}
}
