package recv

import "slices"

// maxSpans bounds the holes remembered per series: as many as a ledger keeps
// open, and then some. 16 bytes each.
const maxSpans = 80_000

// spans is an ordered set of ranges of sequences that were declared missing.
type spans struct{ list []span }

type span struct{ first, last uint64 }

// add notes a range above or between those known; it overlaps none.
func (s *spans) add(first, last uint64) {
	i, _ := s.find(first)
	if i > 0 && s.list[i-1].last+1 == first {
		s.list[i-1].last = last
		return
	}
	s.insert(i, span{first, last})
}

// insert puts a range at place i. Of too many the two oldest become one: what
// was delivered between them may then be delivered twice, but nothing that is
// missing is taken for a duplicate.
func (s *spans) insert(i int, x span) {
	s.list = slices.Insert(s.list, i, x)
	if len(s.list) > maxSpans {
		s.list[1].first = s.list[0].first
		s.list = slices.Delete(s.list, 0, 1)
	}
}

// cover notes a range of which parts may be known already.
func (s *spans) cover(first, last uint64) {
	for first <= last {
		i, ok := s.find(first)
		end := last
		switch {
		case ok:
			first = s.list[i].last + 1
			continue
		case i < len(s.list):
			end = min(last, s.list[i].first-1)
		}
		s.add(first, end)
		first = end + 1
	}
}

// has says whether seq is missing.
func (s *spans) has(seq uint64) bool {
	_, ok := s.find(seq)
	return ok
}

// fill takes seq out.
func (s *spans) fill(seq uint64) {
	i, ok := s.find(seq)
	if !ok {
		return
	}
	x := s.list[i]
	switch {
	case x.first == x.last:
		s.list = slices.Delete(s.list, i, i+1)
	case seq == x.first:
		s.list[i].first++
	case seq == x.last:
		s.list[i].last--
	default:
		s.list[i].last = seq - 1
		s.insert(i+1, span{seq + 1, x.last})
	}
}

// find returns the place of the first range that ends at or behind seq, and
// whether it holds seq.
func (s *spans) find(seq uint64) (int, bool) {
	i, _ := slices.BinarySearchFunc(s.list, seq, func(x span, seq uint64) int {
		if x.last < seq {
			return -1
		}
		return 1
	})
	return i, i < len(s.list) && s.list[i].first <= seq
}
