package send

import (
	"context"
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
// again for repeats. Next is called from a goroutine of its own; the other
// methods from the sender's loop, so that they should not block for long. All
// must be safe for use at the same time.
type Source interface {
	// Next blocks until the next batch is there or ctx ends. buf has a length
	// and capacity of diode.MaxBatchBytes; Data may alias it and belongs to
	// the sender until its next call with the same buffer. An error that is
	// not ctx's ends Run.
	Next(ctx context.Context, buf []byte) (diode.Batch, error)
	// Read returns a batch that Next has returned before. An error means that
	// it is no longer retained: the copy is left out and counted.
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

	Epoch     [16]byte // of the near spool
	PrevEpoch [16]byte // zero: there was none
	// PrevLast and PrevSum are where the bulk series of PrevEpoch ended, when
	// PrevKnown.
	PrevLast, PrevSum uint64
	PrevKnown         bool
	// Prev says the same of other classes, and overrides PrevLast for bulk.
	// A class that is in neither ended at an unknown place.
	Prev map[diode.Class]diode.Position

	Sources map[diode.Class]Source
	Conn    PacketWriter
	MTU     int // bytes; 0 = 1500
	IPv6    bool

	RateBits   uint64          // bits per second on the wire, Ethernet framing included; 0 = 100 Mbit/s
	Parity     float64         // least parity as a fraction of data, 0…1
	MaxDelay   time.Duration   // a started block is closed after it; 0 = 5 ms
	Interleave int             // full blocks whose frames alternate, 1…16; 0 = 1
	DesignLoss float64         // 0…0.2; 0 with Parity 0 = 0.01
	Repeat     []time.Duration // each batch again so long after its first time, rising
	Heartbeat  time.Duration   // 0 = 1 s

	StateDir string        // keeps the session floor
	Health   func() []byte // carried in the heartbeat; nil = none; at most 512 bytes
	Log      *slog.Logger  // nil = none
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
	refuse(c.PSK == [32]byte{}, "no pre-shared key")
	refuse(c.Epoch == [16]byte{}, "no epoch")
	refuse(c.Conn == nil, "no connection")
	refuse(len(c.Sources) == 0 || len(c.Sources) > diode.MaxClasses, "%d sources; 1 to %d are possible", len(c.Sources), diode.MaxClasses)
	refuse(c.RateBits < minRate, "rate of %d bit/s is below %d", c.RateBits, minRate)
	refuse(c.Parity < 0 || c.Parity > 1, "parity %v is not between 0 and 1", c.Parity)
	refuse(c.DesignLoss < 0 || c.DesignLoss > 0.2, "design loss %v is not between 0 and 0.2", c.DesignLoss)
	refuse(c.MaxDelay < 0 || c.MaxDelay > maxDelay, "max delay %v is not between 0 and %v", c.MaxDelay, maxDelay)
	refuse(c.Interleave < 1 || c.Interleave > maxInterleave, "interleave %d is not between 1 and %d", c.Interleave, maxInterleave)
	refuse(c.Heartbeat < 10*time.Millisecond || c.Heartbeat > time.Minute, "heartbeat %v is not between 10ms and 1m", c.Heartbeat)
	refuse(len(c.Repeat) > maxRepeats, "%d repeats; at most %d are possible", len(c.Repeat), maxRepeats)
	refuse(!slices.IsSorted(c.Repeat), "repeats are not in rising order")
	for _, d := range c.Repeat {
		refuse(d <= 0 || d > maxRepeat, "repeat after %v is not between 0 and %v", d, maxRepeat)
	}
	if len(errs) > 0 {
		return fmt.Errorf("send: link %q: %w", c.Link, errors.Join(errs...))
	}
	return nil
}

func (c Config) protection() fec.Protection {
	return fec.Protection{Parity: c.Parity, DesignLoss: c.DesignLoss}
}

// origin is what announcements and heartbeats say of this epoch and the one
// before.
func (c Config) origin() frame.Origin {
	o := frame.Origin{Epoch: c.Epoch, Prev: c.PrevEpoch}
	if c.PrevEpoch == [16]byte{} {
		return o
	}
	ends := make(map[diode.Class]frame.PrevEnd)
	for class := range c.Sources {
		ends[class] = frame.PrevEnd{Class: class}
	}
	if c.PrevKnown {
		ends[diode.Bulk] = frame.PrevEnd{Class: diode.Bulk, Known: true, Last: c.PrevLast, Sum: c.PrevSum}
	}
	for class, p := range c.Prev {
		ends[class] = frame.PrevEnd{Class: class, Known: true, Last: p.Seq, Sum: p.SumAfter}
	}
	for _, class := range slices.Sorted(maps.Keys(ends)) {
		if len(o.Ends) < diode.MaxClasses {
			o.Ends = append(o.Ends, ends[class])
		}
	}
	return o
}
