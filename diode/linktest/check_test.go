package linktest_test

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

type seriesID struct {
	epoch [16]byte
	class diode.Class
}

// version is one batch that the near side ever gave a sequence. There is more
// than one of a sequence only after a near spool was restored from a backup.
type version struct {
	batch diode.Batch
	gone  bool // the near side forgot it without having sent it for certain
}

// truth is every batch of one series that there ever was.
type truth struct {
	versions map[uint64][]*version
	first    uint64 // lowest sequence
	// rewound says that the near spool was restored within this series: what it
	// had sent may then come twice.
	rewound bool
	// restoredAt is when that was, and knownTo what the near side had accepted
	// again when the far side first heard of it: it cannot know which of the
	// sequences up to there were given to other batches.
	restoredAt time.Time
	heard      bool
	knownTo    uint64
	// blurred says that the far side was replaced or restarted since, or that
	// two links disagreed for a while: then it knows of none.
	blurred bool
	// again is the highest sequence when a recording was replayed to a receiver of
	// two links that had just been restarted. What one link had lost is then not
	// old to it: a heartbeat from before a batch came by the other link looks like
	// a spool that went back, and all up to here may come twice.
	again uint64
}

// last is the highest sequence.
func (t *truth) last() uint64 {
	if t.first == 0 {
		return 0
	}
	return t.first + uint64(len(t.versions)) - 1
}

func newTruth() *truth { return &truth{versions: make(map[uint64][]*version)} }

func (t *truth) add(b diode.Batch) {
	if t.first == 0 || b.Seq < t.first {
		t.first = b.Seq
	}
	t.versions[b.Seq] = append(t.versions[b.Seq], &version{batch: b})
}

// walk is the state of one series while its events are checked.
type walk struct {
	*truth
	next      uint64 // 0: nothing came yet
	delivered map[*version]int
	pending   map[uint64]bool // passed over: must be named as refused by the sink
	missing   map[uint64]bool
	open      uint64 // from here on its end is stated as unknown; 0: it is not
}

// checker holds the promise: each batch exactly once, in order unless late,
// else in a gap; sums right; nothing invented.
type checker struct{ series map[seriesID]*walk }

func newChecker(truths map[seriesID]*truth) *checker {
	c := &checker{series: make(map[seriesID]*walk)}
	for id, t := range truths {
		c.series[id] = &walk{truth: t, delivered: map[*version]int{}, pending: map[uint64]bool{}, missing: map[uint64]bool{}}
	}
	return c
}

func (c *checker) events(list []linktest.Event) error {
	for i, e := range list {
		if err := c.event(e); err != nil {
			return fmt.Errorf("event %d: %w, behind%s", i, err, story(list[max(0, i-12):i+1]))
		}
	}
	return nil
}

// story tells events in words.
func story(list []linktest.Event) string {
	var words strings.Builder
	for _, e := range list {
		b, g := e.Batch, e.Gap
		if e.IsGap {
			fmt.Fprintf(&words, " gap %x/%d/%d-%d %s,", g.Epoch[15:], g.Class, g.First, g.Last, g.Reason)
			continue
		}
		fmt.Fprintf(&words, " %x/%d/%d late %v resent %v,", b.Epoch[15:], b.Class, b.Seq, b.Late, b.Resent)
	}
	return words.String()
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

// find returns what the near side gave this sequence.
func (w *walk) find(b diode.Batch) *version {
	for _, v := range w.versions[b.Seq] {
		if bytes.Equal(v.batch.Data, b.Data) && v.batch.Weight == b.Weight && v.batch.SumBefore == b.SumBefore && v.batch.Time.Equal(b.Time) {
			return v
		}
	}
	return nil
}

func (w *walk) batch(b diode.Batch) error {
	v := w.find(b)
	if v == nil {
		return fmt.Errorf("invented batch %v: %d bytes, weight %d, sum %d", b.BatchID, len(b.Data), b.Weight, b.SumBefore)
	}
	w.delivered[v]++
	twice := w.rewound || b.Seq <= w.again
	if w.delivered[v] > 1 && !twice {
		return fmt.Errorf("batch %v twice", b.BatchID)
	}
	if w.next == 0 {
		w.next = w.first
	}
	if b.Late {
		if !twice && !w.missing[b.Seq] && (w.open == 0 || b.Seq < w.open) {
			return fmt.Errorf("batch %v late, but never missing", b.BatchID)
		}
		delete(w.missing, b.Seq)
		return nil
	}
	for ; w.next < b.Seq; w.next++ {
		w.pending[w.next] = true
	}
	if b.Seq != w.next {
		return fmt.Errorf("batch %v out of order, %d is next", b.BatchID, w.next)
	}
	w.next++
	return nil
}

func (w *walk) gap(g diode.Gap) error {
	if g.Last == 0 {
		w.next, w.open = max(w.next, w.first), g.First
		return nil
	}
	if w.next == 0 {
		w.next = w.first
		if g.BeforeFirstContact {
			w.next = g.First // where the epoch starts may not be known
		}
		if g.First != w.next {
			return fmt.Errorf("gap %+v, but %d is the first", g, w.first)
		}
	}
	if g.Last < g.First || g.First > w.next {
		return fmt.Errorf("gap %+v, but %d is next", g, w.next)
	}
	var weight uint64
	exact := true
	for seq := g.First; seq <= g.Last; seq++ {
		list := w.versions[seq]
		switch {
		case len(list) == 0 && !g.BeforeFirstContact:
			return fmt.Errorf("gap %+v holds %d, which there never was", g, seq)
		case len(list) != 1 || w.rewound:
			exact = false
		default:
			weight += uint64(list[0].batch.Weight)
		}
		if seq < w.next && !w.pending[seq] && !w.missing[seq] && !w.rewound {
			return fmt.Errorf("gap %+v holds %d, which is there", g, seq)
		}
		delete(w.pending, seq)
		w.missing[seq] = true
	}
	unknown := g.BeforeFirstContact && !g.WeightKnown && g.Weight == 0 // where the epoch starts is not known
	if exact && !unknown && (!g.WeightKnown || g.Weight != weight) {
		return fmt.Errorf("gap %+v weighs %d", g, weight)
	}
	w.next = max(w.next, g.Last+1)
	return nil
}

// excused says that the far side cannot know of the batch.
func (w *walk) excused(seq uint64) bool {
	return w.rewound && (w.blurred || !w.heard || seq <= w.knownTo)
}

// lost returns a batch that is neither delivered nor named, if there is one.
func (w *walk) lost() (diode.BatchID, bool) {
	for seq, list := range w.versions {
		for _, v := range list {
			named := w.missing[seq] || (w.open != 0 && seq >= w.open)
			if !v.gone && w.delivered[v] == 0 && !named && !w.excused(seq) {
				return v.batch.BatchID, true
			}
		}
	}
	return diode.BatchID{}, false
}
