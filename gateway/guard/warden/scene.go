package warden

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// goneFor is how long an interface that is gone is remembered: the news that
// it went into another namespace comes by another way. Ours, far above the 6
// ms that the slowest event took.
const goneFor = 10 * time.Second

// scene is what the last decisions say, and what has just vanished from them.
type scene struct {
	decisions []guard.Decision
	gone      map[int]vanished
	moved     map[int]time.Time // gone into another namespace, not acted on yet
	ours      map[int]bool      // that this process moves itself
	lost      map[string]bool   // names of fenced interfaces that are gone
}

// vanished is a fenced interface that is not there any more.
type vanished struct {
	decision guard.Decision
	at       time.Time
}

func newScene() scene {
	return scene{gone: map[int]vanished{}, moved: map[int]time.Time{}, ours: map[int]bool{}, lost: map[string]bool{}}
}

// guarded reports whether a drop must stand before an interface.
func guarded(d guard.Decision) bool {
	switch d.Role {
	case guard.Monitoring, guard.DiodeTX, guard.DiodeRX:
		return !d.Loopback
	default:
		return false
	}
}

// hold keeps the drops before an interface of a one-way link that nothing
// names any more, because somebody has renamed it: until another policy is
// ordered nothing passes there, not even the link's own frames. Monitoring
// points are remembered by who decides.
func (s *scene) hold(decisions []guard.Decision) {
	for i, d := range decisions {
		for _, was := range s.decisions {
			link := was.Role == guard.DiodeTX || was.Role == guard.DiodeRX
			if link && was.Index == d.Index && was.MAC == d.MAC && d.Role == guard.Closed {
				decisions[i].Role, decisions[i].Rules = was.Role, nil
			}
		}
	}
}

// take replaces the decisions.
func (s *scene) take(decisions []guard.Decision, now time.Time) {
	s.hold(decisions)
	for _, d := range s.decisions {
		if guarded(d) {
			s.gone[d.Index] = vanished{decision: d, at: now}
		}
	}
	for _, v := range s.gone {
		s.lost[v.decision.Name] = true
	}
	for _, d := range decisions {
		delete(s.gone, d.Index)
		delete(s.lost, d.Name)
	}
	for index, v := range s.gone {
		if now.Sub(v.at) > goneFor {
			delete(s.gone, index)
		}
	}
	for index, at := range s.moved {
		if now.Sub(at) > goneFor {
			delete(s.moved, index)
		}
	}
	s.decisions = decisions
}

// forget begins anew with another policy.
func (s *scene) forget() {
	s.decisions = nil
	clear(s.lost)
}

// awaited lists the names of fenced interfaces that are gone.
func (s *scene) awaited() []string { return slices.Sorted(maps.Keys(s.lost)) }

// away notes that an interface went into another namespace.
func (s *scene) away(index int, now time.Time) {
	if s.ours[index] {
		delete(s.ours, index)
		return
	}
	s.moved[index] = now
}

// left is an interface that went into another namespace.
type left struct {
	index int
	name  string
	up    bool // before it went
}

// takeMoved returns the fenced ones that went away since it was last called.
// One that is still listed is waited for.
func (s *scene) takeMoved() []left {
	var out []left
	for index := range s.moved {
		if s.isFenced(index) {
			continue
		}
		delete(s.moved, index)
		if v, ok := s.gone[index]; ok {
			delete(s.gone, index)
			out = append(out, left{index: index, name: v.decision.Name, up: v.decision.Up})
		}
	}
	return out
}

// up lists the interfaces that are up.
func (s *scene) up() map[int]bool {
	out := map[int]bool{}
	for _, d := range s.decisions {
		out[d.Index] = d.Up
	}
	return out
}

func markDown(decisions []guard.Decision, index int) {
	for i := range decisions {
		if decisions[i].Index == index {
			decisions[i].Up = false
		}
	}
}

// fenced lists the interfaces that drops must stand before.
func (s *scene) fenced() []guard.Decision {
	var out []guard.Decision
	for _, d := range s.decisions {
		if guarded(d) {
			out = append(out, d)
		}
	}
	return out
}

func (s *scene) isFenced(index int) bool {
	for _, d := range s.decisions {
		if d.Index == index {
			return guarded(d)
		}
	}
	return false
}
