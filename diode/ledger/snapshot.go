package ledger

import (
	"encoding/binary"
	"fmt"

	"github.com/sluice-gateway/sluice/diode"
)

// append encodes a declaration and what is open of it.
func (e *entry) append(b []byte, open []span) []byte {
	g := e.gap
	b = appendWords(append(b, g.Epoch[:]...), g.First, g.Last, g.Weight, nanos(g.DeclaredAt), nanos(e.changed))
	b = appendNeighbours(b, g)
	b = appendText(appendText(b, g.Reason), e.why)
	b = appendWords(b, e.repeat.Batches, e.repeat.Weight, e.resend.Batches, e.resend.Weight)
	b = appendWords(b, e.final.Batches, e.final.Weight, e.final.Unweighed, e.openWeight)
	b = binary.BigEndian.AppendUint32(b, uint32(len(open)))
	for _, s := range open {
		b = appendWords(b, s.first, s.last)
	}
	return b
}

func (ev *event) readEntry(c *cursor) error {
	g := ev.gap
	g.Epoch, g.First, g.Last, g.Weight, g.DeclaredAt = c.id(), c.u64(), c.u64(), c.u64(), c.time()
	e := &entry{changed: c.time()}
	readNeighbours(c, &g)
	g.Reason, e.why = c.text(), c.text()
	e.gap = g
	e.repeat = Amount{Batches: c.u64(), Weight: c.u64()}
	e.resend = Amount{Batches: c.u64(), Weight: c.u64()}
	e.final = Amount{Batches: c.u64(), Weight: c.u64(), Unweighed: c.u64()}
	e.openWeight = c.u64()
	n := c.u32()
	if uint64(n)*16 > uint64(len(c.b)) {
		return fmt.Errorf("%w: %d ranges in %d bytes", errEvent, n, len(c.b))
	}
	end := uint64(0)
	for range n {
		s := span{first: c.u64(), last: c.u64(), e: e}
		if s.first <= end || s.last < s.first || s.first < g.First || s.last > last(g) {
			return fmt.Errorf("%w: range %d-%d of %d-%d", errEvent, s.first, s.last, g.First, g.Last)
		}
		ev.spans, end = append(ev.spans, s), s.last
	}
	ev.entry = e
	return checkRange(g.First, g.Last)
}

func (r *Row) append(b []byte) []byte {
	b = appendText(b, r.Reason)
	b = appendWords(b, r.Declared.Batches, r.Declared.Weight, r.Declared.Unweighed)
	b = appendWords(b, r.Repeat.Batches, r.Repeat.Weight, r.Resend.Batches, r.Resend.Weight)
	b = appendWords(b, r.Final.Batches, r.Final.Weight, r.Final.Unweighed)
	return appendWords(b, r.DeclaredTails, r.FinalTails)
}

func readRow(c *cursor, class diode.Class) *Row {
	r := &Row{Class: class, Reason: c.text()}
	r.Declared = Amount{Batches: c.u64(), Weight: c.u64(), Unweighed: c.u64()}
	r.Repeat = Amount{Batches: c.u64(), Weight: c.u64()}
	r.Resend = Amount{Batches: c.u64(), Weight: c.u64()}
	r.Final = Amount{Batches: c.u64(), Weight: c.u64(), Unweighed: c.u64()}
	r.DeclaredTails, r.FinalTails = c.u64(), c.u64()
	return r
}

// snapshot encodes the whole state as events. cut is called where a frame may
// end.
func (s *state) snapshot(cut func(events []byte) error) error {
	var b []byte
	for _, r := range s.sortedRows() {
		b = event{kind: kindRow, gap: diode.Gap{Class: r.Class}, row: r}.append(b)
	}
	for _, m := range s.stream {
		b = event{kind: kindMark, gap: diode.Gap{Class: m.Class}, mark: m}.append(b)
	}
	for _, m := range s.evicted {
		b = event{kind: kindMark, gap: diode.Gap{Class: m.Class}, mark: m, evictions: true}.append(b)
	}
	open := s.spansByEntry()
	for _, e := range s.order {
		if len(b) >= frameBytes {
			if err := cut(b); err != nil {
				return err
			}
			b = b[:0]
		}
		b = event{kind: kindEntry, gap: diode.Gap{Class: e.gap.Class, WeightKnown: e.gap.WeightKnown, BeforeFirstContact: e.gap.BeforeFirstContact}, entry: e, spans: open[e]}.append(b)
	}
	if len(b) == 0 {
		return nil
	}
	return cut(b)
}

// spansByEntry gathers what is open of each declaration, ascending.
func (s *state) spansByEntry() map[*entry][]span {
	open := make(map[*entry][]span)
	for _, x := range s.series {
		for _, sp := range x.open {
			open[sp.e] = append(open[sp.e], sp)
		}
	}
	return open
}
