package guard

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Values of Snapshot.State.
const (
	StateOK      = "ok"
	StateUnknown = "unknown" // events were lost; nothing new is accepted
)

// Snapshot is what the guard decided, for status. The slices are the
// caller's.
type Snapshot struct {
	Taken     time.Time // when the interfaces were last read
	State     string    // StateOK or StateUnknown
	Decisions []Decision
}

// Guard holds the decisions about the interfaces of one network namespace and
// opens sockets by them. All methods may be used concurrently.
type Guard struct {
	policy Policy
	log    *slog.Logger
	kernel kernel
	// neighbours is the other half of the machine that is written to.
	neighbours neighbours
	prober     prober
	// ready says of each sending end what keeps it from sending; nil while
	// the state is unknown.
	ready   atomic.Pointer[map[endKey]error]
	barrier barrier  // how sockets are tied to an interface; probed once
	ipv6    bool     // the kernel has IPv6
	live    *liveSet // connections handed out, to be cut with their interface
	running atomic.Bool
	kick    chan struct{} // a socket failed: look again sooner

	// apply serialises everything that changes which sockets are open. It is
	// taken before mu, never after.
	apply     sync.Mutex
	mem       *memory                 // guarded by apply
	listeners map[*Listeners]struct{} // guarded by apply

	mu       sync.Mutex    // guards what follows
	verdicts []verdict     // of the last list
	taken    time.Time     // of the last list
	known    chan struct{} // closed while the state is known
	unknown  bool          // the opposite, for status
}

// New reads the interfaces of this network namespace and decides on them. A
// rule that does not name exactly one usable interface is an error that lists
// what exists (RuleError, several joined): the guard fails closed. The
// decisions do not follow the machine until Run is called.
func New(p Policy, log *slog.Logger) (*Guard, error) {
	k, err := realKernel()
	if err != nil {
		return nil, err
	}
	b, ipv6, err := probe()
	if err != nil {
		return nil, err
	}
	return newGuard(p, log, k, b, ipv6)
}

// system is what the guard needs of a machine.
type system interface {
	kernel
	neighbours
	prober
}

func newGuard(p Policy, log *slog.Logger, k system, b barrier, ipv6 bool) (*Guard, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	links, err := k.Links()
	if err != nil {
		return nil, err
	}
	if err := checkRules(p, links); err != nil {
		return nil, err
	}
	g := &Guard{
		policy: p, log: log, kernel: k, neighbours: k, prober: k, barrier: b, ipv6: ipv6,
		live: newLiveSet(), mem: newMemory(), listeners: map[*Listeners]struct{}{},
		known: make(chan struct{}), kick: make(chan struct{}, 1),
	}
	close(g.known)
	if b == byAddress {
		log.Warn("guard: this kernel refuses to bind sockets to an interface: they are bound to its addresses, a weaker barrier",
			"barrier", b.String())
	}
	g.decide(links)
	return g, nil
}

// Snapshot returns the decisions of the last list.
func (g *Guard) Snapshot() Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Snapshot{Taken: g.taken, State: StateOK, Decisions: make([]Decision, 0, len(g.verdicts))}
	if g.unknown {
		s.State = StateUnknown
	}
	for _, v := range g.verdicts {
		d := v.Decision
		d.Addresses = append(d.Addresses[:0:0], d.Addresses...)
		if g.barrier == byAddress && d.Role == Service {
			d.Reason += "; degraded: sockets are bound to its addresses, not to the interface"
		}
		s.Decisions = append(s.Decisions, d)
	}
	return s
}

// decide takes in a new list and makes every socket follow it.
func (g *Guard) decide(links []link) {
	g.apply.Lock()
	defer g.apply.Unlock()
	verdicts := decide(g.policy, links, g.mem)
	g.mu.Lock()
	before := g.verdicts
	g.verdicts, g.taken = verdicts, time.Now()
	g.mu.Unlock()
	g.report(before, verdicts)
	g.tend(verdicts)
	g.live.cutUnless(func(c liveConn) bool { return allowed(verdicts, c.index, c.id, c.use) })
	for l := range g.listeners {
		l.reconcile(verdicts)
	}
	g.resume() // last: what is accepted from here on meets the new verdicts
}

// shut closes every listening socket: the interfaces could not be read again.
func (g *Guard) shut() {
	g.apply.Lock()
	defer g.apply.Unlock()
	for l := range g.listeners {
		l.reconcile(nil)
	}
}

// report logs every change of a role.
func (g *Guard) report(before, after []verdict) {
	was := map[int]verdict{}
	for _, v := range before {
		was[v.Index] = v
	}
	for _, v := range after {
		old, had := was[v.Index]
		delete(was, v.Index)
		if had && old.Role == v.Role && old.id == v.id && old.Reason == v.Reason {
			continue
		}
		level := slog.LevelInfo
		if before != nil && v.Role != Service {
			level = slog.LevelWarn
		}
		g.log.Log(context.Background(), level, "guard: interface decided", "interface", v.Name, "index", v.Index,
			"role", v.Role.String(), "reason", v.Reason)
	}
	for _, v := range was {
		g.log.Warn("guard: interface is gone", "interface", v.Name, "index", v.Index, "role", v.Role.String())
	}
}

func (g *Guard) current() ([]verdict, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unknown {
		return nil, ErrUnknownState
	}
	return g.verdicts, nil
}

func find(verdicts []verdict, index int) (verdict, bool) {
	for _, v := range verdicts {
		if v.Index == index {
			return v, true
		}
	}
	return verdict{}, false
}

// use is what a socket is for.
type use uint8

const (
	forService use = iota
	forDiodeTX
	forDiodeRX
)

func (v verdict) allows(u use) bool {
	switch u {
	case forDiodeTX:
		return v.diodeTX && v.Role != Monitoring
	case forDiodeRX:
		return v.diodeRX && v.Role != Monitoring
	default:
		return v.Role == Service
	}
}

// allowed reports whether a socket opened on that interface may live on. The
// identity matters as much as the index: a new interface may get the index of
// one that was deleted.
func allowed(verdicts []verdict, index int, id identity, u use) bool {
	v, ok := find(verdicts, index)
	return ok && v.id == id && v.allows(u)
}
