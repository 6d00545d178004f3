package ledger

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// Range is a range of sequences. Last 0: the end is not known.
type Range struct{ First, Last uint64 }

// Entry is one declaration and what became of it.
type Entry struct {
	Gap                         diode.Gap // as it was declared
	Repeat, Resend, Final, Open Amount
	Why                         string    // of Final
	Changed                     time.Time // when the last event came
	Ranges                      []Range   // what is open, ascending
}

// Query says which declarations List returns.
type Query struct {
	OpenOnly bool
	Classes  []diode.Class // nil = all
	Limit    int           // at most so many; 0 = all
}

// List returns declarations, the newest first.
func (l *Ledger) List(q Query) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := l.state.spansByEntry()
	var list []Entry
	for _, e := range slices.Backward(l.state.order) {
		if (q.OpenOnly && e.spans == 0) || (q.Classes != nil && !slices.Contains(q.Classes, e.gap.Class)) {
			continue
		}
		if q.Limit > 0 && len(list) == q.Limit {
			break
		}
		x := Entry{Gap: e.gap, Repeat: e.repeat, Resend: e.resend, Final: e.final, Open: e.open(), Why: e.why, Changed: e.changed}
		for _, s := range open[e] {
			x.Ranges = append(x.Ranges, Range{First: s.first, Last: lastOf(s)})
		}
		list = append(list, x)
	}
	return list
}

// Missing returns what is open, in order of declaration. The weight of a part of
// a range is known only when it is all that is left of it.
func (l *Ledger) Missing() []diode.Gap {
	l.mu.Lock()
	defer l.mu.Unlock()
	open := l.state.spansByEntry()
	var gaps []diode.Gap
	for _, e := range l.state.order {
		for _, s := range open[e] {
			g := e.gap
			g.First, g.Last, g.Weight = s.first, lastOf(s), e.openWeight
			if g.WeightKnown = g.WeightKnown && e.spans == 1 && e.final.Batches == 0; !g.WeightKnown {
				g.Weight = 0
			}
			gaps = append(gaps, g)
		}
	}
	return gaps
}

// Totals returns the sums of everything ever declared, by class and reason.
func (l *Ledger) Totals() []Row {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state.totals()
}

// Marks returns how far the far spool is reflected by what is on disk, by class:
// after a restart it is to be read from behind these.
func (l *Ledger) Marks() []Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.SortedFunc(maps.Values(l.durable.stream), func(a, b Mark) int { return cmp.Compare(a.Class, b.Class) })
}

// State is how a ledger does.
type State struct {
	OpenRanges int   // of at most Options.MaxRanges
	Listed     int   // declarations that List knows
	Waiting    int   // bytes of events that are not on disk
	Err        error // why they could not be written; nil: nothing went wrong
	// Damaged says that a damaged log lies beside the ledger: what it held
	// beyond what could be read is not known. Removing it ends the notice.
	Damaged bool
}

// State returns how the ledger does.
func (l *Ledger) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return State{OpenRanges: l.state.spans, Listed: len(l.state.order), Waiting: len(l.pending), Err: l.failed, Damaged: l.damaged}
}
