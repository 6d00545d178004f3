package guard

import (
	"context"
	"fmt"
	"time"
)

// holdFor is how long what is open stays so while the state is unknown:
// nothing new is accepted or opened from the first moment on. Long enough for
// the warden to be started anew and to set right again what somebody changed.
const holdFor = 3 * time.Second

// gate says whether anything may be accepted or opened. It is closed while
// interface events are lost, and while the fence is not whole.
type gate struct {
	blind  bool // interface events were lost
	stance stance
	since  time.Time     // when it was closed; zero while it is open
	shut   bool          // what was open has been closed as well
	open   chan struct{} // closed while the gate is open
}

func newGate() gate {
	g := gate{stance: stance{whole: true}, open: make(chan struct{})}
	close(g.open)
	return g
}

// move brings since and open in line with the rest.
func (t *gate) move() {
	switch closed := t.blind || !t.stance.whole; {
	case closed && t.since.IsZero():
		t.since, t.open = time.Now(), make(chan struct{})
	case !closed && !t.since.IsZero():
		t.since, t.shut = time.Time{}, false
		close(t.open)
	}
}

// err says why nothing may be opened.
func (t *gate) err() error {
	switch {
	case t.stance.tripped:
		return fmt.Errorf("%w: %s: find out why, then: sluice guard reset", ErrTripped, t.stance.reason)
	case t.blind:
		return fmt.Errorf("%w: interface events were lost", ErrUnknownState)
	case !t.stance.whole:
		return fmt.Errorf("%w: %s", ErrUnknownState, t.stance.reason)
	}
	return nil
}

// state is what status shows of it.
func (t *gate) state() string {
	switch {
	case t.stance.tripped:
		return StateTripped
	case t.blind:
		return StateUnknown + ": interface events were lost"
	case !t.stance.whole:
		return StateUnknown + ": " + t.stance.reason
	}
	return StateOK
}

// overdue reports that what is open must be closed, or in what time it will
// have to be.
func (t *gate) overdue() (now bool, in time.Duration) {
	if t.since.IsZero() {
		return false, holdFor
	}
	in = max(0, holdFor-time.Since(t.since))
	return t.stance.tripped || in == 0, in
}

// lose marks the state of the interfaces as unknown: events may have been
// missed, so nothing is accepted until they have been read again.
func (g *Guard) lose() {
	g.ready.Store(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.gate.blind = true
	g.gate.move()
	g.mind()
}

// wait blocks while nothing may be accepted. It returns the error of ctx.
func (g *Guard) wait(ctx context.Context) error {
	g.mu.Lock()
	open := g.gate.open
	g.mu.Unlock()
	select {
	case <-open:
		return ctx.Err()
	default:
	}
	select {
	case <-open:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enforce makes every socket follow a list of decisions and what the fence
// says. The caller holds g.apply. With fresh the list was read just now.
func (g *Guard) enforce(verdicts []verdict, fresh bool) {
	s, now := g.look(verdicts)
	g.mu.Lock()
	before, blind := g.gate.stance, g.gate.blind && !fresh
	g.verdicts, g.standing = verdicts, s
	if !now.whole { // first, so that nothing slips through meanwhile
		g.gate.stance = now
		g.gate.move()
	}
	overdue, _ := g.gate.overdue()
	shut := overdue && (blind || !now.whole)
	g.gate.shut = shut
	g.mu.Unlock()
	g.reportStance(before, now)
	if !blind {
		g.tend(verdicts, now)
	}
	g.live.cutUnless(func(c liveConn) bool { return !shut && allowed(verdicts, c.index, c.id, c.use) })
	for l := range g.listeners {
		if shut {
			l.reconcile(nil, false)
			continue
		}
		l.reconcile(verdicts, now.whole && !blind)
	}
	g.mu.Lock() // last: what is accepted from here on meets the new verdicts
	defer g.mu.Unlock()
	g.gate.stance, g.gate.blind = now, blind
	g.gate.move()
	g.mind()
}

// look asks the fence.
func (g *Guard) look(verdicts []verdict) (Standing, stance) {
	if g.fence == nil {
		return Standing{}, stance{whole: true}
	}
	s := g.fence.Standing()
	return s, judge(g.policy, verdicts, s)
}

func (g *Guard) reportStance(before, now stance) {
	switch {
	case before == now:
	case now.tripped:
		g.log.Error("guard: tripped, everything is closed", "cause", now.reason, "remedy", "find out why, then: sluice guard reset")
	case !now.whole:
		g.log.Warn("guard: the fence is not whole, nothing is accepted", "cause", now.reason)
	default:
		g.log.Info("guard: the fence is whole", "was", before.reason)
	}
}

// mind makes the minder think anew about when to close what is open.
func (g *Guard) mind() {
	select {
	case g.moved <- struct{}{}:
	default: // already asked
	}
}

// minder follows the fence until ctx ends, and closes what was open for too
// long while the state was unknown.
func (g *Guard) minder(ctx context.Context) {
	var changed <-chan struct{}
	if g.fence != nil {
		changed = g.fence.Changed()
	}
	timer := time.NewTimer(holdFor)
	defer timer.Stop()
	for ctx.Err() == nil {
		timer.Stop()
		if in, ok := g.pending(); ok {
			timer.Reset(in)
		}
		select {
		case <-ctx.Done():
			return
		case <-g.moved:
			continue
		case _, ok := <-changed:
			if !ok {
				changed = nil // what Standing says stays true; only nobody tells any more
			}
		case <-timer.C:
		}
		g.stand()
	}
}

// pending is in what time what is open will have to be closed.
func (g *Guard) pending() (in time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, in = g.gate.overdue()
	return in, !g.gate.since.IsZero() && !g.gate.shut
}

// stand takes in what the fence says now.
func (g *Guard) stand() {
	g.apply.Lock()
	defer g.apply.Unlock()
	g.mu.Lock()
	verdicts := g.verdicts
	g.mu.Unlock()
	g.enforce(verdicts, false)
	g.wonder(verdicts)
}
