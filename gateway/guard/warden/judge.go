package warden

import (
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// sight is one look at the kernel, with what the judgement needs beside it.
type sight struct {
	at       time.Time
	findings fence.Findings
	// up are the interfaces that were up when they were last listed, by
	// index.
	up map[int]bool
	// left are interfaces that went into another namespace since the last
	// look.
	left []left
	// latched has an entry for each interface that has tripped already.
	latched map[int]bool
}

// judgement is what follows from a look.
type judgement struct {
	trips    []guard.Trip
	restored []guard.Restored // has to be set right, by applying the plan again
}

// whole reports whether nothing has to be done.
func (j judgement) whole() bool { return len(j.trips) == 0 && len(j.restored) == 0 }

// wear is how often each thing had to be set right lately.
type wear map[worn][]time.Time

type worn struct {
	index int
	what  string
}

// note counts one more and returns how many there were within restoresWithin.
func (w wear) note(at time.Time, what worn) int {
	w[what] = append(slices.DeleteFunc(w[what], func(t time.Time) bool { return at.Sub(t) > restoresWithin }), at)
	return len(w[what])
}

// forget drops what is older than restoresWithin, so that the map does not
// grow.
func (w wear) forget(at time.Time) {
	for what, times := range w {
		if at.Sub(times[len(times)-1]) > restoresWithin {
			delete(w, what)
		}
	}
}

// judge says what a look means. It changes nothing but past.
//
// What somebody else changed is set right as long as one egress drop stood and
// nothing left meanwhile. What nobody can set right afterwards trips: frames
// have left, or could have left past every drop, or somebody changes the same
// thing again and again. What has tripped trips once.
func judge(s sight, past wear) judgement {
	past.forget(s.at)
	var j judgement
	for _, b := range s.findings.Breaches {
		j.trip(s, b.Index, b.Interface, b.Cause)
	}
	for _, b := range s.findings.Barriers {
		if open(b) && s.up[b.Index] {
			j.trip(s, b.Index, b.Interface, "both egress drops were missing while it was up")
		}
	}
	for _, away := range s.left {
		if away.up {
			j.trip(s, away.index, away.name, "went into another network namespace while it was up, where nothing keeps it silent")
		}
	}
	for _, d := range s.findings.Drifts {
		if n := past.note(s.at, worn{d.Index, d.What}); n > restoresMost {
			j.trip(s, d.Index, d.Interface, fmt.Sprintf("%s: had to be set right %d times within %s", d.What, n, restoresWithin))
		}
		j.restored = append(j.restored, guard.Restored{At: s.at, Interface: d.Interface, What: d.What})
	}
	return j
}

// open reports whether no egress drop stands before an interface.
func open(b guard.Barrier) bool {
	return !slices.ContainsFunc(b.Egress, func(c guard.Check) bool { return c.OK })
}

// trip adds one trip for an interface that has not tripped yet.
func (j *judgement) trip(s sight, index int, name, cause string) {
	if s.latched[index] || slices.ContainsFunc(j.trips, func(t guard.Trip) bool { return t.Index == index }) {
		return
	}
	j.trips = append(j.trips, guard.Trip{At: s.at, Interface: name, Index: index, Cause: cause})
}
