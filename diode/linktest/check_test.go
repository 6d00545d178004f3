package linktest_test

import (
	"bytes"
	"fmt"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

type seriesID struct {
	epoch [16]byte
	class diode.Class
}

// walk is the state of one series while its events are checked.
type walk struct {
	source    *linktest.Source
	next      uint64
	delivered map[uint64]bool
	missing   map[uint64]bool
	open      bool // its end is stated as unknown
}

// checker holds the promise: each batch exactly once, in order unless late,
// else in a gap; sums right; nothing invented.
type checker struct {
	series map[seriesID]*walk
}

func newChecker(sources map[seriesID]*linktest.Source) *checker {
	c := &checker{series: make(map[seriesID]*walk)}
	for id, s := range sources {
		c.series[id] = &walk{source: s, next: 1, delivered: map[uint64]bool{}, missing: map[uint64]bool{}}
	}
	return c
}

func (c *checker) events(list []linktest.Event) error {
	for i, e := range list {
		if err := c.event(e); err != nil {
			return fmt.Errorf("event %d: %w", i, err)
		}
	}
	return nil
}

func (c *checker) event(e linktest.Event) error {
	id := seriesID{e.Batch.Epoch, e.Batch.Class}
	if e.IsGap {
		id = seriesID{e.Gap.Epoch, e.Gap.Class}
	}
	w := c.series[id]
	if w == nil {
		return fmt.Errorf("invented series %x/%d", id.epoch[15:], id.class)
	}
	if e.IsGap {
		return w.gap(e.Gap)
	}
	return w.batch(e.Batch)
}

func (w *walk) batch(b diode.Batch) error {
	want, err := w.source.Read(b.Seq, nil)
	if err != nil {
		return fmt.Errorf("invented batch %v", b.BatchID)
	}
	if !bytes.Equal(want.Data, b.Data) || want.Weight != b.Weight || want.SumBefore != b.SumBefore {
		return fmt.Errorf("batch %v is not what was sent: %d bytes weight %d sum %d, want %d %d %d",
			b.BatchID, len(b.Data), b.Weight, b.SumBefore, len(want.Data), want.Weight, want.SumBefore)
	}
	if w.delivered[b.Seq] {
		return fmt.Errorf("batch %v twice", b.BatchID)
	}
	w.delivered[b.Seq] = true
	if b.Late {
		if !w.missing[b.Seq] && (!w.open || b.Seq < w.next) {
			return fmt.Errorf("batch %v late, but never missing", b.BatchID)
		}
		delete(w.missing, b.Seq)
		return nil
	}
	if b.Seq != w.next {
		return fmt.Errorf("batch %v out of order, %d is next", b.BatchID, w.next)
	}
	w.next++
	return nil
}

func (w *walk) gap(g diode.Gap) error {
	if g.First != w.next {
		return fmt.Errorf("gap %+v, but %d is next", g, w.next)
	}
	if g.Last == 0 {
		w.open = true
		return nil
	}
	if g.Last < g.First {
		return fmt.Errorf("gap %+v is empty", g)
	}
	var weight uint64
	for seq := g.First; seq <= g.Last; seq++ {
		b, err := w.source.Read(seq, nil)
		if err != nil {
			return fmt.Errorf("gap %+v holds %d, which was never sent", g, seq)
		}
		weight += uint64(b.Weight)
		w.missing[seq] = true
	}
	if !g.WeightKnown || g.Weight != weight {
		return fmt.Errorf("gap %+v weighs %d", g, weight)
	}
	w.next = g.Last + 1
	return nil
}

// reached says whether everything of the series is delivered or named.
func (c *checker) reached(id seriesID) bool {
	w := c.series[id]
	_, next, _ := w.source.Bounds()
	return w.next == next
}
