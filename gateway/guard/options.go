package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
)

// Options are what a Guard is made of.
type Options struct {
	Policy Policy
	Log    *slog.Logger
	// Fence is the privileged half. Sockets are open only while it stands.
	// Nil is allowed on a node that has nothing to fence beside loopback.
	Fence Fence
	// Opener opens what takes a privilege; nil: this process does it itself.
	Opener Opener
	// Accepted is the path of the file that remembers which interfaces were
	// accepted and which were monitoring points. Empty: in memory alone.
	Accepted string
	// MirrorWatch is how long an interface is looked at before it becomes a
	// service interface without being named, see CheckMirror. 0: not at all.
	MirrorWatch time.Duration
	// TendNeighbours makes and repairs the neighbour entries of the sending
	// ends, which takes CAP_NET_ADMIN. Without it they are only looked at.
	TendNeighbours bool
	// DecideOnly is a Guard that decides and opens no socket at all: the
	// privileged half, and examinations. It needs no Fence.
	DecideOnly bool
	// Tolerant logs rules that do not fit the machine instead of refusing to
	// start: what they mean stays closed, and all else is decided. It is for
	// the privileged half that starts by itself, after the policy was checked.
	Tolerant bool
	// OnDecide is called with each new list of decisions, also from New,
	// before any socket is opened by it. It is never called twice at a time
	// and must not call the Guard. The slice is its own.
	OnDecide func([]Decision)
}

// New reads the interfaces of this network namespace and decides on them. A
// rule that does not name exactly one usable interface is an error that lists
// what exists (RuleError, several joined): the guard fails closed. So is a
// policy that needs a fence where there is none (ErrNoFence), and a memory
// that is damaged (MemoryError). The decisions do not follow the machine until
// Run is called.
func New(o Options) (*Guard, error) {
	k, err := realKernel()
	if err != nil {
		return nil, err
	}
	b, ipv6, err := probe()
	if err != nil {
		return nil, err
	}
	g, err := newGuard(o, k, b, ipv6)
	if err != nil {
		return nil, err
	}
	if err := g.wantFenceFor(g.verdicts); err != nil {
		return nil, err
	}
	return g, nil
}

// ErrNoFence says that the policy has interfaces that a fence must stand
// before, and that there is none.
var ErrNoFence = errors.New("guard: nothing keeps these interfaces silent")

// wantFenceFor refuses a guard that would open sockets beside interfaces that
// nobody keeps silent.
func (g *Guard) wantFenceFor(verdicts []verdict) error {
	if g.fence != nil || g.decideOnly {
		return nil
	}
	var bare []string
	for _, v := range verdicts {
		if v.fenced() {
			bare = append(bare, v.Name+" ("+v.Role.String()+")")
		}
	}
	if g.policy.Isolate {
		bare = append(bare, g.policy.Monitoring...)
	}
	if len(bare) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s: start the guard's warden, see docs/guard.md", ErrNoFence, strings.Join(slices.Compact(bare), ", "))
}

// errDecides refuses to open a socket.
var errDecides = errors.New("guard: this one only decides, it opens no socket")
