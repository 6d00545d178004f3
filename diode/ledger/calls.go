package ledger

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// How says how a late batch came.
type How uint8

// The ways in which batches come late.
const (
	Repeat How = iota // a repeat of the link, or merely late
	Resend            // an operator asked for it
)

func (h How) String() string {
	if h == Resend {
		return "resend"
	}
	return "repeat"
}

// Why a range is final.
const (
	WhyNotRetained = "not-retained" // the near side has it no longer
	WhyAccepted    = "accepted"     // an operator gave it up
	WhyFull        = "ledger-full"  // more ranges were open than the ledger follows
)

// All is, as Final.Below, behind every sequence, also those of a tail whose end
// is not known.
const All = endless

// Filled is a batch that came late and is stored.
type Filled struct {
	diode.BatchID
	Weight uint32
	How    How
	At     time.Time
}

// Final says that nothing from a sequence on and below another will come any
// more.
type Final struct {
	Epoch [16]byte
	Class diode.Class
	From  uint64 // 0 = from the first on
	Below uint64
	Why   string
	At    time.Time
}

// Declare notes a gap from the far spool. Events of one class come in the order
// of their marks: one at or below the last mark is known already and changes
// nothing. Of a gap only what is not open yet is added; without a mark, or with
// one of another spool, only what was never declared, as far as the ledger
// remembers.
//
// An event with a mark can be read from the far spool again, so it may wait in
// memory until Sync; one without is on disk when Declare returns nil. Both have
// changed the state, and are written by the next Sync, when it returns another
// error than ErrRange, ErrBacklog and ErrClosed.
func (l *Ledger) Declare(g diode.Gap, m Mark) error {
	return l.change(call{mark: m, now: m.Seq == 0}, g, func(g diode.Gap) {
		s := l.state
		parts := s.fresh(g)
		if s.strange(m) {
			parts = s.neverKnown(parts)
		}
		for _, p := range parts {
			l.note(event{kind: kindDeclared, gap: p, mark: m})
			s.add(p)
		}
		s.dropEmpty(g)
	})
}

// Evict notes that a stored batch is given up by the far spool, with all entries
// before it, and is missing again: m is its place. Gaps that are given up stay
// what they are, and are not told. Evictions of one class come in the order of
// their marks, which are others than those of Declare and Fill; an eviction may
// come before what Declare and Fill say of that place. It is on disk when Evict
// returns nil: only then the far spool may forget the batch.
func (l *Ledger) Evict(g diode.Gap, m Mark) error {
	return l.change(call{mark: m, now: true, evictions: true}, g, func(g diode.Gap) {
		for _, p := range l.state.fresh(g) {
			l.note(event{kind: kindEvicted, gap: p, mark: m})
			l.state.add(p)
		}
		l.state.dropEmpty(g)
	})
}

// Fill notes that a batch came late and is durable in the far spool. It says
// whether the batch was missing. Marks and errors are as with Declare. A batch
// that was evicted since, as Evict has said already, stays missing.
func (l *Ledger) Fill(f Filled, m Mark) (wasOpen bool, err error) {
	g := diode.Gap{Epoch: f.Epoch, Class: f.Class, First: f.Seq, Last: f.Seq, Weight: uint64(f.Weight), WeightKnown: true, DeclaredAt: f.At}
	err = l.change(call{mark: m, now: m.Seq == 0}, g, func(g diode.Gap) {
		if wasOpen = l.state.isOpen(g) && !l.state.stale(m, true); !wasOpen {
			return
		}
		l.note(event{kind: kindFilled, how: f.How, gap: g, mark: m})
		if fits := l.state.fill(g, f.How); !fits {
			l.log.Warn("a late batch has another weight than the running sums say; they count", "batch", f.String(), "weight", f.Weight)
		}
	})
	return wasOpen, err
}

// Finish makes what is missing between two sequences final and returns how much
// that is. It may be repeated with each heartbeat: only a change is written, and is
// on disk when Finish returns nil.
func (l *Ledger) Finish(f Final) (Amount, error) {
	from := max(f.From, 1)
	if f.Below <= from {
		return Amount{}, nil
	}
	g := diode.Gap{Epoch: f.Epoch, Class: f.Class, First: from, DeclaredAt: f.At, Reason: f.Why}
	if f.Below != All {
		g.Last = f.Below - 1
	}
	var sum Amount
	err := l.change(call{now: true}, g, func(g diode.Gap) {
		x := l.state.series[seriesKey{g.Epoch, g.Class}]
		if x == nil {
			return
		}
		if i, _ := x.find(g.First); i == len(x.open) || x.open[i].first > last(g) {
			return
		}
		l.note(event{kind: kindFinal, gap: g})
		sum = l.state.finish(g)
	})
	return sum, err
}

// Advance notes that the ledger reflects the far spool up to m, whatever stands
// there: reading it again after a restart can then begin behind it. It is
// written with the next Sync.
func (l *Ledger) Advance(m Mark) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return ErrClosed
	}
	if m.Seq != 0 && !l.state.stale(m, false) {
		l.state.stream[m.Class] = m
	}
	return nil
}

// call says how an event is to be taken.
type call struct {
	mark      Mark
	evictions bool // the mark is one of evictions
	now       bool // on disk before the call returns
}

// change checks an event, has f make it part of the state, and writes what has
// to be written now.
func (l *Ledger) change(c call, g diode.Gap, f func(diode.Gap)) error {
	g, err := normal(g)
	if err != nil {
		return err
	}
	if c.mark.Seq != 0 && c.mark.Class != g.Class {
		return fmt.Errorf("%w: class %d with a mark of class %d", ErrRange, g.Class, c.mark.Class)
	}
	if err := l.relieve(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	if !l.state.stale(c.mark, c.evictions) {
		f(g)
		if c.mark.Seq != 0 {
			l.state.marks(c.evictions)[g.Class] = c.mark
		}
		l.giveUp(g.DeclaredAt)
	}
	waiting := len(l.pending)
	due := waiting >= l.next
	l.mu.Unlock()
	if c.now {
		return l.syncPending()
	}
	if due {
		if err := l.Sync(); err != nil {
			l.log.Warn("gap ledger: events wait for the disk", "bytes", waiting, "error", err)
		}
	}
	return nil
}

// syncPending is Sync when there is anything to write.
func (l *Ledger) syncPending() error {
	l.mu.Lock()
	nothing := len(l.pending) == 0 && l.failed == nil
	l.mu.Unlock()
	if nothing {
		return nil
	}
	return l.Sync()
}

// relieve refuses further events when too many wait and cannot be written.
func (l *Ledger) relieve() error {
	l.mu.Lock()
	full := len(l.pending) >= pendingLimit
	l.mu.Unlock()
	if !full {
		return nil
	}
	if err := l.Sync(); err != nil {
		return fmt.Errorf("%w: %w", ErrBacklog, err)
	}
	return nil
}

// note adds an event to what is to be written.
func (l *Ledger) note(ev event) {
	l.pending = ev.append(l.pending)
	if ev.mark.Seq != 0 {
		l.written.of(ev.kind == kindEvicted)[ev.mark.Class] = ev.mark
	}
}

// giveUp makes the oldest ranges final while more are open than the ledger may
// follow. Merging them would call batches missing that are not.
func (l *Ledger) giveUp(at time.Time) {
	for l.state.spans > l.opts.MaxRanges {
		g := l.state.oldest()
		g.Reason, g.DeclaredAt = WhyFull, at
		l.note(event{kind: kindFinal, gap: g})
		l.state.finish(g)
		if !l.told {
			l.told = true
			l.log.Error("more ranges are missing than the gap ledger follows: the oldest are given up and cannot be resent; resend what is missing", "ranges", l.opts.MaxRanges)
		}
	}
}

// oldest returns the first open range of the oldest declaration.
func (s *state) oldest() diode.Gap {
	i := slices.IndexFunc(s.order, func(e *entry) bool { return e.spans > 0 })
	g := s.order[i].gap
	x := s.series[seriesKey{g.Epoch, g.Class}]
	k, _ := x.find(g.First)
	for x.open[k].e != s.order[i] {
		k++
	}
	g.First, g.Last = x.open[k].first, lastOf(x.open[k])
	return g
}

// stale says that what stands at m is part of the state.
func (s *state) stale(m Mark, evictions bool) bool {
	now := s.marks(evictions)[m.Class]
	return m.Seq != 0 && m.Spool == now.Spool && m.Seq <= now.Seq
}

func (s *state) isOpen(g diode.Gap) bool {
	x := s.series[seriesKey{g.Epoch, g.Class}]
	if x == nil {
		return false
	}
	_, open := x.find(g.First)
	return open
}

// strange says that a mark does not prove that what stands there is new.
func (s *state) strange(m Mark) bool {
	now, known := s.stream[m.Class]
	return m.Seq == 0 || (known && m.Spool != now.Spool)
}

// neverKnown returns what of the parts of a gap is not listed as declared.
func (s *state) neverKnown(parts []diode.Gap) []diode.Gap {
	if len(parts) == 0 {
		return nil
	}
	var known []span
	for _, e := range s.order {
		if e.gap.Epoch == parts[0].Epoch && e.gap.Class == parts[0].Class {
			known = append(known, span{first: e.gap.First, last: last(e.gap)})
		}
	}
	slices.SortFunc(known, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	var fresh []diode.Gap
	for _, p := range parts {
		fresh = append(fresh, cut(p, subtract(p.First, last(p), known))...)
	}
	return fresh
}

func (s *state) copyMarks() marks {
	return marks{stream: maps.Clone(s.stream), evicted: maps.Clone(s.evicted)}
}

func (m marks) of(evictions bool) map[diode.Class]Mark {
	if evictions {
		return m.evicted
	}
	return m.stream
}

// normal checks a gap and brings it into the form in which the log gives it
// back.
func normal(g diode.Gap) (diode.Gap, error) {
	if checkRange(g.First, g.Last) != nil {
		return g, fmt.Errorf("%w: %d-%d of class %d", ErrRange, g.First, g.Last, g.Class)
	}
	if !g.WeightKnown || g.Last == 0 {
		g.Weight, g.WeightKnown = 0, false
	}
	g.Reason = g.Reason[:min(len(g.Reason), maxText)]
	for _, t := range []*time.Time{&g.DeclaredAt, &g.Before.Near, &g.Before.Far, &g.After.Near, &g.After.Far} {
		*t = (&cursor{b: appendWords(nil, nanos(*t))}).time()
	}
	return g, nil
}
