package warden

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// look reads everything back, acts on it and publishes it.
func (l *loop) look(ctx context.Context) {
	if ctx.Err() != nil {
		return
	}
	if d, ok := l.deciding.take(); ok {
		l.outside = d
		l.see(nil)
	}
	if l.policy == nil || l.deciding == nil {
		l.publish(fence.Findings{}, l.trouble)
		return
	}
	found, err := l.enforce()
	if err != nil {
		l.complain(err)
	} else {
		l.trouble = nil
	}
	l.publish(found, err)
}

// see makes the decisions, and what is isolated, the scene.
func (l *loop) see(inside []guard.Decision) {
	l.scene.take(slices.Concat(l.outside, inside), time.Now())
}

// enforce is a whole look: the fence is there, everything that belongs into a
// namespace of its own is there, and everything stands.
func (l *loop) enforce() (fence.Findings, error) {
	if err := l.raise(); err != nil {
		return fence.Findings{}, err
	}
	furnished := l.furnish() // what it says must not keep anything from being fenced here
	if l.annex != nil {
		inside, err := l.isolated()
		if err != nil {
			return fence.Findings{}, err
		}
		l.see(inside)
	}
	found, err := l.sweep()
	if err := errors.Join(furnished, err); err != nil {
		return found, err
	}
	if l.annex == nil {
		l.rouse()
		return found, nil
	}
	return l.settle(found)
}

// raise builds the fence when there is none.
func (l *loop) raise() error {
	single := l.policy.SingleBarrier
	if l.fence != nil && l.single && !single {
		if err := l.unbuild(); err != nil { // the exception is over: both drops are needed
			return err
		}
	}
	if l.fence != nil {
		return nil
	}
	f, err := l.build(single)
	if err != nil {
		return fmt.Errorf("guard: warden: no fence: %w", err)
	}
	l.fence, l.single, l.applied = f, single, nil
	return nil
}

// unbuild lets go of the fence and leaves standing what it built.
func (l *loop) unbuild() error {
	err := l.fence.Close()
	if l.annex != nil {
		err = errors.Join(err, l.annex.room.close())
	}
	l.fence, l.annex, l.applied = nil, nil, nil
	return err
}

// sweep is one round: audit, judge, act, audit again when something was done.
func (l *loop) sweep() (fence.Findings, error) {
	var found fence.Findings
	var err error
	if l.applied != nil {
		if found, err = l.fence.Audit(); err != nil {
			return found, err
		}
	}
	j := judge(l.sight(found), l.wear)
	for _, t := range j.trips {
		l.trip(t)
	}
	l.holdDown()
	plan := fence.PlanFor(*l.policy, l.scene.decisions)
	plan.Shut, plan.Awaited = len(l.trips) > 0, l.scene.awaited()
	if l.applied != nil && j.whole() && same(plan, *l.applied) {
		return found, nil
	}
	if err := l.fence.Apply(plan); err != nil {
		l.applied = nil // whatever stands now: do it again
		return l.askew(), err
	}
	l.applied = &plan
	l.remember(j.restored)
	l.countSent(plan)
	return l.fence.Audit()
}

// askew looks at what stands after it could not be set right. What gets past
// it trips as always.
func (l *loop) askew() fence.Findings {
	found, err := l.fence.Audit()
	if err != nil {
		return found // the error that led here is told
	}
	for _, t := range judge(l.sight(found), l.wear).trips {
		l.trip(t)
	}
	return found
}

func (l *loop) sight(found fence.Findings) sight {
	s := sight{at: time.Now(), findings: found, up: l.scene.up(), latched: map[int]bool{}}
	for _, t := range l.trips {
		s.latched[l.indexOf(t)] = true
	}
	s.left = l.scene.takeMoved()
	return s
}

// indexOf returns the index that a tripped interface has now: indexes change
// with a new start of the machine.
func (l *loop) indexOf(t guard.Trip) int {
	for _, d := range l.scene.decisions {
		if d.Name == t.Interface {
			return d.Index
		}
	}
	return t.Index
}

// trip sets an interface down for good.
func (l *loop) trip(t guard.Trip) {
	t.Did = "set down; receivers closed"
	switch err := l.downOf(t); {
	case t.Index == 0: // the drop before our ports, which belongs to no interface
		t.Did = "receivers closed"
	case err != nil:
		t.Did = "receivers closed; it could not be set down: " + err.Error()
	}
	l.trips = append(l.trips, t)
	l.trips = l.trips[max(0, len(l.trips)-tripsKept):]
	l.log.Error("guard: TRIPPED: nothing is accepted until an operator looks and resets it",
		"interface", t.Interface, "index", t.Index, "cause", t.Cause, "did", t.Did)
	if err := l.store.setTrips(l.trips); err != nil {
		l.log.Error("guard: a trip could not be written down: it holds only as long as this process", "error", err)
	}
}

func (l *loop) downOf(t guard.Trip) error {
	if t.Index == 0 {
		return nil
	}
	return l.fence.Down(t.Index)
}

// holdDown sets tripped interfaces down again that somebody set up.
func (l *loop) holdDown() {
	up := l.scene.up()
	for _, t := range l.trips {
		index := l.indexOf(t)
		if !up[index] || !l.scene.isFenced(index) {
			continue
		}
		if err := l.fence.Down(index); err != nil {
			l.log.Error("guard: a tripped interface is up and cannot be set down", "interface", t.Interface, "error", err)
			continue
		}
		markDown(l.scene.decisions, index)
		markDown(l.outside, index)
		l.log.Warn("guard: a tripped interface was up: set down again", "interface", t.Interface)
	}
}

func (l *loop) remember(restored []guard.Restored) {
	for _, r := range restored {
		l.log.Warn("guard: somebody changed a guarded interface: set right again", "interface", r.Interface, "what", r.What)
	}
	l.restored = append(l.restored, restored...)
	l.restored = slices.Clone(l.restored[max(0, len(l.restored)-restoredKept):])
}

// publish shows what was found. With an error nothing is known.
func (l *loop) publish(found fence.Findings, err error) {
	s := guard.Standing{
		Known: err == nil, At: time.Now(), PID: os.Getpid(),
		Barriers: found.Barriers, Input: found.Input,
		Trips: slices.Clone(l.trips), Restored: l.restored,
	}
	if err != nil {
		s.Reason = err.Error()
	}
	l.board.show(s)
}
