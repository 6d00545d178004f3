package diode

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Class is a priority class. Each class has its own series of sequence
// numbers, running sums and blocks, so that a paced backlog of one class is
// never a hole of another.
type Class uint8

// The classes in use. A link carries at most MaxClasses.
const (
	Bulk     Class = 0
	Critical Class = 1
)

const (
	// MaxClasses bounds the classes of one link: a heartbeat has room for as
	// many entries in one datagram.
	MaxClasses = 4
	// MaxBatchBytes is the largest batch that the link carries. Batches are
	// meant to be 64–256 KiB and at most 1 MiB; the rest is room for headers
	// of whoever fills the batch. It bounds what a receiver reserves for one.
	MaxBatchBytes = 2 << 20
)

// BatchID is the identity of a batch on a link. Sequence numbers are 1, 2, 3 …
// within one epoch and class; 0 means "none".
type BatchID struct {
	Epoch [16]byte
	Class Class
	Seq   uint64
}

func (id BatchID) String() string {
	return fmt.Sprintf("%x/%d/%d", id.Epoch[:4], id.Class, id.Seq)
}

// Epoch is the life of one series: as long as the near spool of a class can
// vouch for the sequences that it has given. A spool that is made, repaired,
// or found shorter than it was begins another one.
type Epoch struct {
	ID [16]byte // 128 random bits
	// Start is the first sequence of the epoch, at least 1, and StartSum the
	// running sum before it: an epoch goes on where the one before was known
	// to be.
	Start, StartSum uint64
	Prev            [16]byte // the epoch before; zero: there was none
	// PrevKnown says that Prev ended exactly before Start. Otherwise it may
	// have had more.
	PrevKnown bool
}

// Batch is one opaque batch.
type Batch struct {
	BatchID
	// Weight is added up by the link and never interpreted; the gateway passes
	// its number of records.
	Weight uint32
	// SumBefore is the running sum of the weights of all batches before this
	// one in its epoch and class. What follows a hole therefore says exactly
	// how much weight the hole held.
	SumBefore uint64
	// Time is when the near side took the batch in, by its clock. Zero: not
	// known.
	Time time.Time
	Data []byte
	// Late is set by the receiver alone: the batch fills a range that was
	// declared a gap, or contradicts one already delivered, and stands
	// outside stream order.
	Late bool
	// Resent is set by the receiver alone: the batch came because an operator
	// asked for it (send.Sender.Resend).
	Resent bool
	// Arrived is set by the receiver alone: when the last missing byte of the
	// batch came, by the far clock.
	Arrived time.Time
}

// Reasons of a gap.
const (
	ReasonLink         = "link"                 // lost on the wire beyond repair
	ReasonFirstContact = "before-first-contact" // sent before this receiver first heard of the series
	ReasonEpochEnd     = "epoch-end"            // the tail of an epoch that was replaced by another
	ReasonOverload     = "overload"             // the receiver's memory was full
	ReasonFarIO        = "far-io-error"         // the far side could not store it
	ReasonFarFull      = "far-spool-full"       // the far side had no room for it
)

// Gap is a range of batches that the far side knows it has missed.
type Gap struct {
	Epoch       [16]byte
	Class       Class
	First, Last uint64 // Last 0: the end is unknown (the tail of a replaced epoch)
	// Weight is what the range held, exact by the running sums when
	// WeightKnown.
	Weight             uint64
	WeightKnown        bool
	SumAfter           uint64 // running sum after Last; 0 with Last 0
	Reason             string
	DeclaredAt         time.Time
	BeforeFirstContact bool
	// Before and After are the neighbours of the range in the stream, as far
	// as they are known: zero times otherwise.
	Before, After Neighbour
}

// Neighbour says when a batch beside a gap was taken in by the near side (by
// the near clock) and when it arrived (by the far clock).
type Neighbour struct{ Near, Far time.Time }

// Position is how far one series is durable on the far side: every batch up to
// and including Seq is stored or recorded as a gap, and SumAfter is the running
// sum of weights after it.
type Position struct {
	Epoch    [16]byte
	Class    Class
	Seq      uint64
	SumAfter uint64
}

// Range is a range of sequences of one series, both ends included.
type Range struct{ First, Last uint64 }

// String gives the range as an operator types it: "4711", or "4711-4723".
func (r Range) String() string {
	if r.First == r.Last {
		return strconv.FormatUint(r.First, 10)
	}
	return fmt.Sprintf("%d-%d", r.First, r.Last)
}

// Merge sorts ranges and joins those that touch or overlap. It works in place:
// what it returns shares the memory of what it was given.
func Merge(ranges []Range) []Range {
	slices.SortFunc(ranges, func(a, b Range) int { return cmp.Compare(a.First, b.First) })
	out := ranges[:0]
	for _, x := range ranges {
		if n := len(out); n > 0 && x.First <= out[n-1].Last+1 {
			out[n-1].Last = max(out[n-1].Last, x.Last)
			continue
		}
		out = append(out, x)
	}
	return out
}
