package sinkfile

import (
	"cmp"
	"slices"
	"sort"

	"github.com/sluice-gateway/sluice/sdk"
)

// seen is a set of record ids. Sequences of a stream come in rows, so it keeps ranges: 64 MiB of lines are a few
// hundred bytes.
type seen struct {
	ranges map[sdk.StreamID][]span
}

type span struct{ first, last uint64 }

func newSeen() *seen { return &seen{ranges: map[sdk.StreamID][]span{}} }

// add takes ids in any order; those that follow each other share a range.
func (s *seen) add(id sdk.RecordID) {
	r := s.ranges[id.Stream]
	if n := len(r); n > 0 && id.Sequence > r[n-1].last && id.Sequence-r[n-1].last == 1 {
		r[n-1].last = id.Sequence
		return
	}
	s.ranges[id.Stream] = append(r, span{id.Sequence, id.Sequence})
}

// sort joins the ranges; has works only after it.
func (s *seen) sort() {
	for id, r := range s.ranges {
		slices.SortFunc(r, func(a, b span) int { return cmp.Compare(a.first, b.first) })
		joined := r[:0]
		for _, x := range r {
			if n := len(joined); n > 0 && (x.first <= joined[n-1].last || x.first-joined[n-1].last == 1) {
				joined[n-1].last = max(joined[n-1].last, x.last)
				continue
			}
			joined = append(joined, x)
		}
		s.ranges[id] = slices.Clip(joined)
	}
}

func (s *seen) has(id sdk.RecordID) bool {
	r := s.ranges[id.Stream]
	i := sort.Search(len(r), func(i int) bool { return r[i].last >= id.Sequence })
	return i < len(r) && r[i].first <= id.Sequence
}
