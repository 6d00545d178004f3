package ledger

import (
	"slices"

	"github.com/sluice-gateway/sluice/diode"
)

// endless is the last sequence of a range whose end is not known. No batch has
// it.
const endless = 1<<64 - 1

// span is a range that is open, and the declaration it belongs to.
type span struct {
	first, last uint64 // last may be endless
	e           *entry
}

// count is the number of batches in a range whose end is known.
func (s span) count() uint64 { return s.last - s.first + 1 }

// series is what is open of one epoch and class: ascending, not overlapping.
type series struct{ open []span }

type seriesKey struct {
	epoch [16]byte
	class diode.Class
}

// find returns the place of the first range that ends at or behind seq, and
// whether it holds seq.
func (x *series) find(seq uint64) (int, bool) {
	i, _ := slices.BinarySearchFunc(x.open, seq, func(s span, seq uint64) int {
		if s.last < seq {
			return -1
		}
		return 1
	})
	return i, i < len(x.open) && x.open[i].first <= seq
}

// without returns the parts of first to last that are not open.
func (x *series) without(first, last uint64) []span {
	i, _ := x.find(first)
	return subtract(first, last, x.open[i:])
}

// subtract returns the parts of first to last that none of the ranges holds,
// which ascend by their first sequence.
func subtract(first, last uint64, ranges []span) []span {
	var parts []span
	for _, s := range ranges {
		if s.last < first {
			continue
		}
		if s.first > last {
			break
		}
		if s.first > first {
			parts = append(parts, span{first: first, last: s.first - 1})
		}
		if s.last >= last {
			return parts
		}
		first = s.last + 1
	}
	return append(parts, span{first: first, last: last})
}

// last is the last sequence of a gap, endless when it is not known.
func last(g diode.Gap) uint64 {
	if g.Last == 0 {
		return endless
	}
	return g.Last
}

// lastOf is the inverse of last.
func lastOf(s span) uint64 {
	if s.last == endless {
		return 0
	}
	return s.last
}
