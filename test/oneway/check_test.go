package oneway_test

import (
	"bytes"
	"testing"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

// tally is what came of the batches of a source.
type tally struct {
	delivered, late int
	missing         map[uint64]bool // named and not filled
	named           int             // ever named
	reasons         map[string]int
	next            uint64
}

// check holds the far side's events against the source: each batch once, in
// order unless late, or named; content, weights and sums right.
func check(t *testing.T, src *linktest.Source, events []linktest.Event) tally {
	t.Helper()
	c := tally{missing: map[uint64]bool{}, reasons: map[string]int{}, next: 1}
	seen := map[uint64]bool{}
	for _, e := range events {
		if e.IsGap {
			c.gap(t, src, e.Gap)
			continue
		}
		b := e.Batch
		want, err := src.Read(b.Seq, nil)
		if err != nil || !bytes.Equal(want.Data, b.Data) || want.Weight != b.Weight || want.SumBefore != b.SumBefore {
			t.Fatalf("batch %d is not what was sent (%v)", b.Seq, err)
		}
		if seen[b.Seq] {
			t.Fatalf("batch %d twice", b.Seq)
		}
		seen[b.Seq] = true
		c.delivered++
		switch {
		case b.Late && !c.missing[b.Seq]:
			t.Fatalf("batch %d late, but never missing", b.Seq)
		case b.Late:
			c.late++
			delete(c.missing, b.Seq)
		case b.Seq != c.next:
			t.Fatalf("batch %d out of order, %d is next", b.Seq, c.next)
		default:
			c.next++
		}
	}
	return c
}

func (c *tally) gap(t *testing.T, src *linktest.Source, g diode.Gap) {
	t.Helper()
	if g.First != c.next || g.Last < g.First {
		t.Fatalf("gap %d-%d, but %d is next", g.First, g.Last, c.next)
	}
	var weight uint64
	for seq := g.First; seq <= g.Last; seq++ {
		b, err := src.Read(seq, nil)
		if err != nil {
			t.Fatalf("gap %d-%d holds %d, which was never sent", g.First, g.Last, seq)
		}
		weight += uint64(b.Weight)
		c.missing[seq] = true
	}
	if !g.WeightKnown || g.Weight != weight {
		t.Fatalf("gap %d-%d weighs %d, said %d (known: %v)", g.First, g.Last, weight, g.Weight, g.WeightKnown)
	}
	c.named += int(g.Last - g.First + 1)
	c.reasons[g.Reason]++
	c.next = g.Last + 1
}

// settled waits until everything that the source has is delivered or named,
// and checks it.
func (r *rig) settled() tally {
	r.t.Helper()
	_, next, _ := r.source.Bounds()
	r.until("delivered or named", func() bool {
		for _, p := range r.sink.Positions() {
			if p.Seq+1 == next {
				return true
			}
		}
		return false
	})
	return check(r.t, r.source, r.sink.Events())
}

// whole is settled, and nothing may be missing.
func (r *rig) whole() tally {
	r.t.Helper()
	c := r.settled()
	if c.named > 0 {
		r.t.Errorf("%d batches named missing (%v, %v); far side: %+v", c.named, c.reasons, ranges(c.missing), r.rx.Stats())
	}
	return c
}
