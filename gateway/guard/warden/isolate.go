package warden

import (
	"errors"
	"fmt"
	"slices"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// isolatedReason is what status shows of an interface in a room.
const isolatedReason = "declared as a monitoring point, in a namespace of its own"

// room is a namespace for monitoring points. It is a *chamber.
type room interface {
	decisions() ([]guard.Decision, error)
	// take moves an interface in, down; rouse sets up what was up before.
	take(d guard.Decision) error
	rouse() error
	// empty moves everything back, down, and returns what was up.
	empty() (up []int, err error)
	// do runs f inside.
	do(f func() error) error
	close() error
}

// annex is a fence in two namespaces: this one and a room.
type annex struct {
	outer enforcer
	inner enforcer
	room  room
}

// Apply implements enforcer. The ports stand in front of this namespace alone:
// nothing listens in the room.
func (a *annex) Apply(p fence.Plan) error {
	inside, err := a.indexes()
	if err != nil {
		return err
	}
	outer := p
	outer.Targets = nil
	var inner fence.Plan
	for _, t := range p.Targets {
		if inside[t.Index] == t.Name {
			inner.Targets = append(inner.Targets, t)
		} else {
			outer.Targets = append(outer.Targets, t)
		}
	}
	if err := a.inner.Apply(inner); err != nil {
		return fmt.Errorf("guard: isolated: %w", err)
	}
	if err := a.outer.Apply(outer); err != nil {
		return err
	}
	return a.room.rouse()
}

// indexes names what is in the room, by index.
func (a *annex) indexes() (map[int]string, error) {
	inside, err := a.room.decisions()
	out := map[int]string{}
	for _, d := range inside {
		out[d.Index] = d.Name
	}
	return out, err
}

// Audit implements enforcer.
func (a *annex) Audit() (fence.Findings, error) {
	found, err := a.outer.Audit()
	if err != nil {
		return found, err
	}
	inner, err := a.inner.Audit()
	if err != nil {
		return found, fmt.Errorf("guard: isolated: %w", err)
	}
	found.Barriers = slices.Concat(found.Barriers, inner.Barriers)
	found.Breaches = slices.Concat(found.Breaches, inner.Breaches)
	found.Drifts = slices.Concat(found.Drifts, inner.Drifts)
	return found, nil
}

// Down implements enforcer.
func (a *annex) Down(index int) error {
	inside, err := a.indexes()
	if err == nil && inside[index] != "" {
		return a.inner.Down(index)
	}
	return errors.Join(err, a.outer.Down(index))
}

// Close implements enforcer.
func (a *annex) Close() error { return errors.Join(a.inner.Close(), a.outer.Close()) }

// wantsRoom reports whether the policy wants monitoring points isolated and
// they are not, or the other way round.
func (l *loop) wantsRoom() bool { return l.policy != nil && l.policy.Isolate }

// furnish makes the fence stand in a room as well, or in none any more, as the
// policy wants.
func (l *loop) furnish() error {
	switch {
	case l.wantsRoom() && l.annex == nil:
		a, err := l.extend(l.fence, l.single)
		if err != nil {
			return err
		}
		l.annex, l.fence, l.applied = a, a, nil
	case !l.wantsRoom() && l.annex != nil:
		return l.vacate()
	}
	return nil
}

// vacate gives isolated interfaces back, and lets go of the room.
func (l *loop) vacate() error {
	up, err := l.annex.room.empty()
	if err != nil {
		return fmt.Errorf("guard: isolate: give back: %w", err)
	}
	l.asleep = up
	l.fence, l.applied = l.annex.outer, nil
	err = errors.Join(l.annex.inner.Close(), l.annex.room.close())
	l.annex = nil
	l.abandon()
	return err
}

// confine moves the declared monitoring points that are still outside. What
// is a relative of one stays, and is fenced where it is.
func (l *loop) confine() (moved bool, err error) {
	if l.annex == nil {
		return false, nil
	}
	for _, d := range l.scene.fenced() {
		if d.Role != guard.Monitoring || d.Reason == isolatedReason || !declared(*l.policy, d) {
			continue
		}
		l.scene.ours[d.Index] = true
		if err := l.annex.room.take(d); err != nil {
			delete(l.scene.ours, d.Index)
			return moved, err
		}
		l.log.Info("guard: monitoring point moved into a namespace of its own", "interface", d.Name, "index", d.Index)
		moved = true
	}
	return moved, nil
}

// declared reports whether a rule names the interface as a monitoring point.
func declared(p guard.Policy, d guard.Decision) bool {
	return slices.ContainsFunc(d.Rules, func(rule string) bool { return slices.Contains(p.Monitoring, rule) })
}

// isolated lists what is in the room; nothing without one.
func (l *loop) isolated() ([]guard.Decision, error) {
	if l.annex == nil {
		return nil, nil
	}
	return l.annex.room.decisions()
}

// inRoom reports whether that interface is in the room.
func (l *loop) inRoom(index int) bool {
	inside, err := l.isolated()
	return err == nil && slices.ContainsFunc(inside, func(d guard.Decision) bool { return d.Index == index })
}

// settle moves in what belongs there, and fences it there.
func (l *loop) settle(found fence.Findings) (fence.Findings, error) {
	moved, err := l.confine()
	if err != nil || !moved {
		return found, err
	}
	inside, err := l.isolated()
	if err != nil {
		return found, err
	}
	l.outside = slices.DeleteFunc(slices.Clone(l.outside), func(d guard.Decision) bool {
		return slices.ContainsFunc(inside, func(i guard.Decision) bool { return i.Index == d.Index && i.Name == d.Name })
	})
	l.see(inside)
	l.applied = nil
	return l.sweep()
}

// rouse sets up what was given back, once it is fenced here.
func (l *loop) rouse() {
	l.asleep = slices.DeleteFunc(l.asleep, func(index int) bool {
		if !l.scene.isFenced(index) || l.isLatched(index) {
			return l.isLatched(index)
		}
		if err := l.links.Up(index); err != nil {
			l.log.Warn("guard: a monitoring point that was given back stays down", "index", index, "error", err)
		}
		return true
	})
}

// at runs f where the interface is.
func (l *loop) at(index int, f func() error) error {
	if l.annex != nil && l.inRoom(index) {
		return l.annex.room.do(f)
	}
	return f()
}

// confined is a fence whose work is done in the room.
type confined struct {
	room room
	enforcer
}

// Apply implements enforcer.
func (c confined) Apply(p fence.Plan) error {
	return c.room.do(func() error { return c.enforcer.Apply(p) })
}

// Audit implements enforcer.
func (c confined) Audit() (found fence.Findings, err error) {
	err = c.room.do(func() error {
		found, err = c.enforcer.Audit()
		return err
	})
	return found, err
}

// Down implements enforcer.
func (c confined) Down(index int) error {
	return c.room.do(func() error { return c.enforcer.Down(index) })
}
