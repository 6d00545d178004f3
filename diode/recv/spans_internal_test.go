package recv

import (
	"testing"

	"pgregory.net/rapid"
)

// Ranges hold what was added and not filled; too many become fewer, but never
// forget one.
func TestSpansAreASet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var s spans
		want := map[uint64]bool{}
		for range rapid.IntRange(1, 40).Draw(rt, "steps") {
			first := rapid.Uint64Range(1, 60).Draw(rt, "first")
			if rapid.Bool().Draw(rt, "fill") {
				s.fill(first)
				delete(want, first)
				continue
			}
			last := first + rapid.Uint64Range(0, 9).Draw(rt, "more")
			s.cover(first, last)
			for seq := first; seq <= last; seq++ {
				want[seq] = true
			}
		}
		for seq := range uint64(80) {
			if s.has(seq) != want[seq] {
				rt.Fatalf("%d: %v in %+v", seq, s.has(seq), s.list)
			}
		}
		for i := 1; i < len(s.list); i++ {
			if s.list[i].first <= s.list[i-1].last {
				rt.Fatalf("%+v", s.list)
			}
		}
	})
}

func TestTooManySpansForgetNone(t *testing.T) {
	var s spans
	for i := range uint64(maxSpans + 10) {
		s.add(3*i+1, 3*i+1)
	}
	if len(s.list) != maxSpans {
		t.Errorf("%d ranges", len(s.list))
	}
	for i := range uint64(maxSpans + 10) {
		if !s.has(3*i + 1) {
			t.Fatalf("%d is forgotten", 3*i+1)
		}
	}
}

// A long range that is filled here and there becomes many, but not more than that.
func TestFillingBreaksIntoBoundedSpans(t *testing.T) {
	var s spans
	s.add(1, 2*maxSpans+100)
	for i := range uint64(maxSpans + 20) {
		s.fill(2*i + 2)
	}
	if len(s.list) != maxSpans {
		t.Errorf("%d ranges", len(s.list))
	}
	for i := range uint64(maxSpans + 20) {
		if !s.has(2*i + 1) {
			t.Fatalf("%d is forgotten", 2*i+1)
		}
	}
}
