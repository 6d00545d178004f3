package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// closedSlack is how many closed declarations may stand beyond the bound before
// the oldest are dropped together: dropping one at a time would move all others
// each time.
const closedSlack = 256

// entry is one declaration and what became of it.
type entry struct {
	gap                   diode.Gap // as declared; Weight grows where it was not known
	changed               time.Time
	why                   string // of what is final
	repeat, resend, final Amount

	spans       int // ranges that are open
	openBatches uint64
	openWeight  uint64 // of a known weight, what is not accounted for
	tail        bool   // its unknown end is open
}

// open is what is missing of the declaration.
func (e *entry) open() Amount {
	a := Amount{Batches: e.openBatches, Weight: e.openWeight}
	if !e.gap.WeightKnown {
		a.Unweighed = e.openBatches
	}
	return a
}

// state is what the log says. It changes by events alone, so that reading the
// log gives the state that wrote it.
type state struct {
	series          map[seriesKey]*series
	order           []*entry // in order of declaration
	spans           int      // open ranges of all series
	closed          int      // entries of order with nothing open
	keep            int      // how many of these are remembered
	rows            map[rowKey]*Row
	stream, evicted map[diode.Class]Mark
}

func newState(keep int) *state {
	return &state{
		keep: keep, series: make(map[seriesKey]*series), rows: make(map[rowKey]*Row),
		stream: make(map[diode.Class]Mark), evicted: make(map[diode.Class]Mark),
	}
}

// apply makes one event part of the state.
func (s *state) apply(ev event) error {
	switch ev.kind {
	case kindDeclared, kindEvicted:
		s.declare(ev.gap)
	case kindFilled:
		s.fill(ev.gap, ev.how)
	case kindFinal:
		s.finish(ev.gap)
	case kindEntry:
		if err := s.restore(ev.entry, ev.spans); err != nil {
			return err
		}
	case kindRow:
		s.rows[rowKey{ev.row.Class, ev.row.Reason}] = ev.row
	}
	if ev.mark.Seq != 0 {
		s.marks(ev.kind == kindEvicted || ev.evictions)[ev.mark.Class] = ev.mark
	}
	return nil
}

func (s *state) marks(evictions bool) map[diode.Class]Mark {
	if evictions {
		return s.evicted
	}
	return s.stream
}

func (s *state) seriesOf(g diode.Gap) *series {
	k := seriesKey{g.Epoch, g.Class}
	if s.series[k] == nil {
		s.series[k] = &series{}
	}
	return s.series[k]
}

// dropEmpty forgets a series of which nothing is open.
func (s *state) dropEmpty(g diode.Gap) {
	if k := (seriesKey{g.Epoch, g.Class}); s.series[k] != nil && len(s.series[k].open) == 0 {
		delete(s.series, k)
	}
}

// declare opens the parts of a gap that are not open.
func (s *state) declare(g diode.Gap) {
	for _, part := range s.fresh(g) {
		s.add(part)
	}
	s.dropEmpty(g)
}

// fresh returns the parts of a gap that are not open. The weight of a part is
// not known when there are others.
func (s *state) fresh(g diode.Gap) []diode.Gap {
	return cut(g, s.seriesOf(g).without(g.First, last(g)))
}

// cut returns the given parts of a gap.
func cut(g diode.Gap, parts []span) []diode.Gap {
	var gaps []diode.Gap
	for _, p := range parts {
		part := g
		part.First, part.Last = p.first, lastOf(p)
		if p.first != g.First || p.last != last(g) || p.last == endless {
			part.Weight, part.WeightKnown = 0, false
		}
		if !part.WeightKnown {
			part.Weight = 0
		}
		gaps = append(gaps, part)
	}
	return gaps
}

// add opens a range of which nothing is open.
func (s *state) add(g diode.Gap) {
	x := s.seriesOf(g)
	sp := span{first: g.First, last: last(g)}
	tail := sp.last == endless
	i, _ := x.find(g.First)
	if i > 0 && !tail && x.open[i-1].last == g.First-1 && x.open[i-1].e.goesOn(g) {
		x.open[i-1].last = g.Last
		x.open[i-1].e.extend(g)
		sp.e = x.open[i-1].e
	} else {
		sp.e = &entry{gap: g, changed: g.DeclaredAt, spans: 1, tail: tail}
		x.open = slices.Insert(x.open, i, sp)
		s.order = append(s.order, sp.e)
		s.spans++
	}
	r := s.row(g.Class, g.Reason)
	if tail {
		r.DeclaredTails++
		return
	}
	s.account(sp.e, r, sp.count())
	sp.e.openWeight += g.Weight
	r.Declared.Weight += g.Weight
}

// goesOn says that g is the same loss going on: an hour of a full spool is one
// declaration and not one per batch.
func (e *entry) goesOn(g diode.Gap) bool {
	return e.gap.Last == g.First-1 && e.gap.Reason == g.Reason && e.gap.WeightKnown == g.WeightKnown && e.gap.BeforeFirstContact == g.BeforeFirstContact
}

func (e *entry) extend(g diode.Gap) {
	e.gap.Last, e.gap.Weight, e.gap.After, e.changed = g.Last, e.gap.Weight+g.Weight, g.After, g.DeclaredAt
}

// account adds open batches to a declaration.
func (s *state) account(e *entry, r *Row, batches uint64) {
	e.openBatches += batches
	r.Declared.Batches += batches
	if !e.gap.WeightKnown {
		r.Declared.Unweighed += batches
	}
}

// fill takes a batch that came late off what is open, if it is. The answer is
// false when its weight contradicts that of its range, which the running sums
// gave: they count.
func (s *state) fill(g diode.Gap, how How) (fits bool) {
	x := s.seriesOf(g)
	defer s.dropEmpty(g)
	i, ok := x.find(g.First)
	if !ok {
		return true
	}
	sp := x.open[i]
	e, r := sp.e, s.row(g.Class, sp.e.gap.Reason)
	if sp.last == endless {
		s.account(e, r, g.First-sp.first+1) // the batches before it exist as well
	}
	x.open = slices.Replace(x.open, i, i+1, s.take(sp, g.First, g.First)...)
	weight := g.Weight
	if e.gap.WeightKnown {
		weight = min(weight, e.openWeight)
		e.openWeight -= weight
	} else {
		e.gap.Weight += weight
		r.Declared.Weight += weight
		r.Declared.Unweighed--
	}
	fits = weight == g.Weight
	if e.ended() && e.final.Batches == 0 && e.openWeight > 0 {
		weight, e.openWeight, fits = weight+e.openWeight, 0, false
	}
	e.filled(how, r, Amount{Batches: 1, Weight: weight})
	e.changed = g.DeclaredAt
	s.close(e, r)
	return fits
}

func (e *entry) filled(how How, r *Row, a Amount) {
	if how == Resend {
		e.resend.add(a)
		r.Resend.add(a)
		return
	}
	e.repeat.add(a)
	r.Repeat.add(a)
}

// finish makes everything that is open in the range final.
func (s *state) finish(g diode.Gap) Amount {
	x := s.seriesOf(g)
	defer s.dropEmpty(g)
	var sum Amount
	var rest []span
	i, _ := x.find(g.First)
	j := i
	for to := last(g); j < len(x.open) && x.open[j].first <= to; j++ {
		sp := x.open[j]
		a, left := s.end(sp, max(g.First, sp.first), min(to, sp.last), g)
		sum.add(a)
		rest = append(rest, left...)
	}
	x.open = slices.Replace(x.open, i, j, rest...)
	return sum
}

// end makes first to to, which lie in sp, final and returns what is left of it.
func (s *state) end(sp span, first, to uint64, g diode.Gap) (Amount, []span) {
	e, r := sp.e, s.row(g.Class, sp.e.gap.Reason)
	var a Amount
	switch {
	case to == endless: // whatever exists of it
		s.account(e, r, first-sp.first)
		e.tail = false
		r.FinalTails++
	case sp.last == endless:
		s.account(e, r, to-sp.first+1)
	}
	if to != endless {
		a.Batches = to - first + 1
	}
	if !e.gap.WeightKnown {
		a.Unweighed = a.Batches
	}
	rest := s.take(sp, first, to)
	if e.ended() {
		a.Weight, e.openWeight = e.openWeight, 0
	}
	e.final.add(a)
	r.Final.add(a)
	e.why, e.changed = g.Reason, g.DeclaredAt
	s.close(e, r)
	return a, rest
}

// take counts first to end, which lie in sp, as no longer open and returns what
// is left of sp.
func (s *state) take(sp span, first, end uint64) []span {
	var rest []span
	if sp.first < first {
		rest = append(rest, span{sp.first, first - 1, sp.e})
	}
	if end < sp.last {
		rest = append(rest, span{end + 1, sp.last, sp.e})
	}
	if end != endless {
		sp.e.openBatches -= end - first + 1
	}
	s.spans += len(rest) - 1
	sp.e.spans += len(rest) - 1
	return rest
}

// ended says that nothing of the declaration is open.
func (e *entry) ended() bool { return e.spans == 0 }

// close counts a declaration of which nothing is open any more. What is left of
// its weight belongs to those of its batches that are final.
func (s *state) close(e *entry, r *Row) {
	if !e.ended() {
		return
	}
	e.final.Weight += e.openWeight
	r.Final.Weight += e.openWeight
	e.openWeight = 0
	s.closed++
	s.trim()
}

// trim forgets the oldest closed declarations; the sums keep them.
func (s *state) trim() {
	if s.closed <= s.keep+closedSlack {
		return
	}
	s.order = slices.DeleteFunc(s.order, func(e *entry) bool {
		drop := e.spans == 0 && s.closed > s.keep
		if drop {
			s.closed--
		}
		return drop
	})
}

// restore takes in a declaration that a compaction wrote.
func (s *state) restore(e *entry, open []span) error {
	x := s.seriesOf(e.gap)
	defer s.dropEmpty(e.gap)
	for _, sp := range open {
		i, _ := x.find(sp.first)
		if i < len(x.open) && x.open[i].first <= sp.last {
			return fmt.Errorf("%w: range %d-%d stands twice", errEvent, sp.first, sp.last)
		}
		x.open = slices.Insert(x.open, i, sp)
		s.spans++
		e.spans++
		if sp.last == endless {
			e.tail = true
			continue
		}
		e.openBatches += sp.count()
	}
	s.order = append(s.order, e)
	if e.spans == 0 {
		s.closed++
		s.trim()
	}
	return nil
}
