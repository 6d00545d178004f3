package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// Kinds of events in the log.
const (
	kindDeclared = 1 // a range is missing
	kindEvicted  = 2 // a range that was stored is missing again
	kindFilled   = 3 // a batch came late
	kindFinal    = 4 // what is open in a range will not come
	kindMark     = 5 // a place of the far spool alone
	kindEntry    = 6 // compaction: a declaration and what became of it
	kindRow      = 7 // compaction: the sums of a class and reason
)

// Flags of events.
const (
	flagWeightKnown  = 1 << 0
	flagFirstContact = 1 << 1
	flagMark         = 1 << 2 // a mark follows
	flagResend       = 1 << 3 // filled by a resend
	flagEvicted      = 1 << 4 // kindMark: of evictions

	knownFlags = flagWeightKnown | flagFirstContact | flagMark | flagResend | flagEvicted
)

// maxText is the longest reason that is kept, in bytes. Longer ones are cut:
// a reason is a word, not a message.
const maxText = 32

var errEvent = errors.New("malformed event")

// event is one change of the state. What the fields of gap mean depends on the
// kind: filled uses First as the sequence, Weight and DeclaredAt; final uses
// First, Last, DeclaredAt and Reason.
type event struct {
	kind byte
	how  How
	gap  diode.Gap
	mark Mark

	evictions bool   // kindMark: the mark is one of evictions
	entry     *entry // kindEntry
	spans     []span // kindEntry: what is open of it
	row       *Row   // kindRow
}

// append encodes the event.
func (ev event) append(b []byte) []byte {
	b = append(b, ev.kind, ev.flags(), byte(ev.gap.Class))
	if ev.mark.Seq != 0 {
		b = binary.BigEndian.AppendUint64(append(b, ev.mark.Spool[:]...), ev.mark.Seq)
	}
	g := ev.gap
	switch ev.kind {
	case kindDeclared, kindEvicted:
		b = appendWords(append(b, g.Epoch[:]...), g.First, g.Last, g.Weight, nanos(g.DeclaredAt))
		b = appendNeighbours(b, g)
		b = appendText(b, g.Reason)
	case kindFilled:
		b = appendWords(append(b, g.Epoch[:]...), g.First, g.Weight, nanos(g.DeclaredAt))
	case kindFinal:
		b = appendWords(append(b, g.Epoch[:]...), g.First, g.Last, nanos(g.DeclaredAt))
		b = appendText(b, g.Reason)
	case kindEntry:
		b = ev.entry.append(b, ev.spans)
	case kindRow:
		b = ev.row.append(b)
	}
	return b
}

func (ev event) flags() byte {
	var f byte
	set := func(is bool, flag byte) {
		if is {
			f |= flag
		}
	}
	set(ev.gap.WeightKnown, flagWeightKnown)
	set(ev.gap.BeforeFirstContact, flagFirstContact)
	set(ev.mark.Seq != 0, flagMark)
	set(ev.how == Resend, flagResend)
	set(ev.evictions, flagEvicted)
	return f
}

// readEvent decodes the event at the cursor.
func readEvent(c *cursor) (event, error) {
	ev := event{kind: c.u8()}
	flags := c.u8()
	ev.gap.Class = diode.Class(c.u8())
	ev.gap.WeightKnown, ev.gap.BeforeFirstContact = flags&flagWeightKnown != 0, flags&flagFirstContact != 0
	ev.evictions = flags&flagEvicted != 0
	if flags&flagResend != 0 {
		ev.how = Resend
	}
	if flags&flagMark != 0 {
		ev.mark = Mark{Class: ev.gap.Class, Spool: c.id(), Seq: c.u64()}
	}
	if flags&^byte(knownFlags) != 0 {
		return ev, fmt.Errorf("%w: flags %02x", errEvent, flags)
	}
	if err := ev.read(c); err != nil {
		return ev, err
	}
	if c.short {
		return ev, fmt.Errorf("%w: kind %d is cut short", errEvent, ev.kind)
	}
	return ev, nil
}

func (ev *event) read(c *cursor) error {
	g := &ev.gap
	switch ev.kind {
	case kindDeclared, kindEvicted:
		g.Epoch, g.First, g.Last, g.Weight, g.DeclaredAt = c.id(), c.u64(), c.u64(), c.u64(), c.time()
		readNeighbours(c, g)
		g.Reason = c.text()
		return checkRange(g.First, g.Last)
	case kindFilled:
		g.Epoch, g.First, g.Weight, g.DeclaredAt = c.id(), c.u64(), c.u64(), c.time()
		return checkRange(g.First, g.First)
	case kindFinal:
		g.Epoch, g.First, g.Last, g.DeclaredAt, g.Reason = c.id(), c.u64(), c.u64(), c.time(), c.text()
		return checkRange(g.First, g.Last)
	case kindMark:
		if ev.mark.Seq == 0 {
			return fmt.Errorf("%w: a mark without a place", errEvent)
		}
		return nil
	case kindEntry:
		return ev.readEntry(c)
	case kindRow:
		ev.row = readRow(c, g.Class)
		return nil
	}
	return fmt.Errorf("%w: kind %d is unknown: was it written by a newer version?", errEvent, ev.kind)
}

// checkRange refuses what no range of sequences can be. A last of 0 is an open
// end.
func checkRange(first, last uint64) error {
	if first == 0 || first == endless || last == endless || (last != 0 && last < first) {
		return fmt.Errorf("%w: range %d-%d", errEvent, first, last)
	}
	return nil
}

func appendWords(b []byte, words ...uint64) []byte {
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, w)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

func appendNeighbours(b []byte, g diode.Gap) []byte {
	return appendWords(b, nanos(g.Before.Near), nanos(g.Before.Far), nanos(g.After.Near), nanos(g.After.Far))
}

func readNeighbours(c *cursor, g *diode.Gap) {
	g.Before.Near, g.Before.Far, g.After.Near, g.After.Far = c.time(), c.time(), c.time(), c.time()
}

// nanos is Unix nanoseconds in two's complement; 0 stands for no time.
func nanos(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

// cursor reads fields one after the other; what is missing reads as zero and
// sets short.
type cursor struct {
	b     []byte
	short bool
}

func (c *cursor) take(n int) []byte {
	if len(c.b) < n {
		c.short, c.b = true, nil
		return make([]byte, n)
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) u8() byte { return c.take(1)[0] }

func (c *cursor) u32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }

func (c *cursor) u64() uint64 { return binary.BigEndian.Uint64(c.take(8)) }

func (c *cursor) id() [16]byte { return [16]byte(c.take(16)) }

func (c *cursor) text() string { return string(c.take(int(c.u8()))) }

func (c *cursor) time() time.Time {
	n := c.u64()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(n))
}
