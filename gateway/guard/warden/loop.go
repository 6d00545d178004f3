package warden

import (
	"context"
	"log/slog"
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
	// operator is the user id of who may order less than is guarded, release
	// and reset. It is rootUID.
	operator int

	// What follows belongs to run.
	policy   *guard.Policy
	unread   bool      // there is one on disk, and nobody can read it
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
		wear: wear{}, scene: newScene(), operator: rootUID,
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
		l.trouble, l.unread = err, true
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
