package ledger

import (
	"cmp"
	"slices"

	"github.com/sluice-gateway/sluice/diode"
)

// maxRows bounds the sums; further reasons are counted as otherReason (ours: a
// link has a handful of reasons).
const (
	maxRows     = 256
	otherReason = "other"
)

// Amount is how much: batches, their weight as far as it is known, and how many
// of the batches have no known weight.
type Amount struct {
	Batches, Weight, Unweighed uint64
}

func (a *Amount) add(b Amount) {
	a.Batches += b.Batches
	a.Weight += b.Weight
	a.Unweighed += b.Unweighed
}

// Row is what became of everything that was ever declared missing in one class
// for one reason. Declared = Repeat + Resend + Final + Open, in batches, in
// weight and in batches without a weight.
//
// While a range whose weight is known as a whole is partly open, what is left of
// its weight counts as open, even where some of its batches are final. A range
// without a known end (a tail) counts by itself until batches of it are known.
type Row struct {
	Class                                 diode.Class
	Reason                                string
	Declared, Repeat, Resend, Final, Open Amount
	DeclaredTails, FinalTails, OpenTails  uint64
	OpenRanges                            int
}

type rowKey struct {
	class  diode.Class
	reason string
}

// row returns the sums of a class and reason.
func (s *state) row(class diode.Class, reason string) *Row {
	k := rowKey{class, reason}
	if r := s.rows[k]; r != nil {
		return r
	}
	if len(s.rows) >= maxRows {
		k.reason = otherReason
	}
	if s.rows[k] == nil {
		s.rows[k] = &Row{Class: k.class, Reason: k.reason}
	}
	return s.rows[k]
}

func (s *state) sortedRows() []*Row {
	rows := make([]*Row, 0, len(s.rows))
	for _, r := range s.rows {
		rows = append(rows, r)
	}
	slices.SortFunc(rows, func(a, b *Row) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Reason, b.Reason)) })
	return rows
}

// totals counts what is open and returns all rows by class and reason.
func (s *state) totals() []Row {
	for _, r := range s.rows {
		r.Open, r.OpenRanges, r.OpenTails = Amount{}, 0, 0
	}
	for _, e := range s.order {
		if e.spans == 0 {
			continue
		}
		r := s.row(e.gap.Class, e.gap.Reason)
		r.Open.add(e.open())
		r.OpenRanges += e.spans
		if e.tail {
			r.OpenTails++
		}
	}
	var rows []Row
	for _, r := range s.sortedRows() {
		rows = append(rows, *r)
	}
	return rows
}

// reconcile makes the sums fit again after a part of the log was lost: what is
// known to have become of batches was declared once.
func (s *state) reconcile() {
	for _, r := range s.totals() {
		sum := r.Repeat
		sum.add(r.Resend)
		sum.add(r.Final)
		sum.add(r.Open)
		x := s.row(r.Class, r.Reason)
		x.Declared, x.DeclaredTails = sum, r.FinalTails+r.OpenTails
	}
}
