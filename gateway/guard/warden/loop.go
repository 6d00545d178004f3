package warden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// enforcer builds what a plan says, and reads it back. It is a *fence.Fence.
type enforcer interface {
	// Apply is idempotent. An empty plan takes everything away.
	Apply(fence.Plan) error
	Audit() (fence.Findings, error)
	Down(index int) error
	Close() error
}

// interfaces is the little that the loop does to interfaces itself.
type interfaces interface {
	Up(index int) error
	// Sent returns the transmit counter, in frames.
	Sent(index int) (uint64, error)
}

// loop owns everything that one goroutine changes: all kernel work is done in
// run, one thing after the other.
type loop struct {
	log   *slog.Logger
	store store
	board *board
	links interfaces
	// build opens the fence, when the first policy comes.
	// With single, one egress drop suffices.
	build func(single bool) (enforcer, error)
	// tend sees that what build keeps outside this process is still there,
	// and scatter takes it away.
	tend    func() error
	scatter func()
	// extend builds a fence in a namespace for monitoring points as well, and
	// abandon takes what that keeps outside this process away.
	extend  func(outer enforcer, single bool) (*annex, error)
	abandon func()
	// decide starts to decide by a policy. A tolerant one puts up with rules
	// that name nothing now: what they do not name is guarded all the same.
	decide func(p guard.Policy, tolerant bool, on func([]guard.Decision)) (decider, error)
	opens  opens
	probes prober
	moves  <-chan int      // indexes of interfaces that went into another namespace
	nudges <-chan struct{} // somebody changed something
	jobs   chan job
	ended  chan struct{} // closed when run returns

	// What follows belongs to run.
	policy   *guard.Policy
	deciding *deciding // nil while there is no policy, or it cannot be decided by
	outside  []guard.Decision
	fence    enforcer // nil until built
	single   bool     // it may be one with one egress drop
	annex    *annex   // the fence, when it stands in two namespaces
	asleep   []int    // given back by the room, to be set up when fenced here
	applied  *fence.Plan
	trips    []guard.Trip
	restored []guard.Restored
	wear     wear
	scene    scene
	trouble  error // what keeps the policy from being enforced
	counted  *sent // the transmit counters as written down; nil before the first look
}

func newLoop(log *slog.Logger, s store) *loop {
	return &loop{
		log: log, store: s, board: newBoard(), jobs: make(chan job), ended: make(chan struct{}),
		wear: wear{}, scene: newScene(),
	}
}

// run looks after the fence until ctx ends. It leaves everything standing.
func (l *loop) run(ctx context.Context) {
	defer close(l.ended)
	defer l.stopDeciding()
	l.recall()
	l.resume(ctx)
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	l.look(ctx)
	for {
		select {
		case <-ctx.Done():
			l.log.Info("guard: warden ends; everything stays as it stands", "interfaces", len(l.scene.fenced()))
			return
		case <-ticker.C:
			l.resume(ctx)
			l.look(ctx)
			l.tendKept()
		case <-l.deciding.news():
			l.look(ctx)
		case index := <-l.moves:
			l.scene.away(index, time.Now())
			l.look(ctx)
		case <-l.nudges:
			l.look(ctx)
		case j := <-l.jobs:
			j.done <- j.do(ctx)
		}
	}
}

// tendKept replaces a keeper that somebody ended.
func (l *loop) tendKept() {
	if l.fence == nil {
		return
	}
	if err := l.tend(); err != nil {
		l.log.Error("guard: nobody keeps the table while no warden runs", "error", err)
	}
}

// recall reads what an earlier process left.
func (l *loop) recall() {
	trips, err := l.store.trips()
	if err != nil {
		trips = []guard.Trip{{At: time.Now(), Cause: "what was latched cannot be read: " + err.Error(), Did: "receivers closed"}}
	}
	l.trips = trips
	for _, t := range trips {
		l.log.Error("guard: tripped before this start, and not reset since", "interface", t.Interface, "cause", t.Cause, "at", t.At)
	}
	policy, err := l.store.policy()
	if err != nil {
		l.trouble = err
		l.log.Error("guard: the stored policy cannot be read: nothing is known until it is ordered again", "error", err)
	}
	l.policy = policy
}

// resume decides by a stored policy, as soon as that is possible.
func (l *loop) resume(ctx context.Context) {
	if l.policy == nil || l.deciding != nil {
		return
	}
	d, err := l.startDeciding(ctx, *l.policy, true)
	if err != nil {
		l.complain(err)
		return
	}
	l.deciding, l.trouble = d, nil
}

// complain logs a trouble when it is a new one.
func (l *loop) complain(err error) {
	if l.trouble == nil || l.trouble.Error() != err.Error() {
		l.log.Error("guard: warden", "error", err)
	}
	l.trouble = err
}

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
	found, err := l.enforce(ctx)
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
func (l *loop) enforce(ctx context.Context) (fence.Findings, error) {
	if err := l.raise(); err != nil {
		return fence.Findings{}, err
	}
	if err := l.furnish(); err != nil {
		return fence.Findings{}, err
	}
	if l.annex != nil {
		inside, err := l.isolated()
		if err != nil {
			return fence.Findings{}, err
		}
		l.see(inside)
	}
	found, err := l.sweep()
	if err != nil {
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
	plan.Shut = len(l.trips) > 0
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
	if err := l.fence.Down(t.Index); err != nil {
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

// errEnded answers what came too late.
var errEnded = errors.New("guard: warden: it is ending")
