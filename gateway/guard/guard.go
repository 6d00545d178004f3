package guard

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Values of Snapshot.State, and how it begins.
const (
	StateOK      = "ok"
	StateUnknown = "unknown" // followed by ": " and the reason; nothing new is accepted
	StateTripped = "tripped" // everything is closed until an operator resets it
)

// Snapshot is what the guard decided, for status. The slices are the
// caller's, but for those within Standing, which nobody may change.
type Snapshot struct {
	Taken     time.Time // when the interfaces were last read
	State     string
	Decisions []Decision
	// Fresh are the interfaces that are closed because they are new or have
	// changed: somebody must accept them, or find out what they are.
	Fresh    []Decision
	Standing Standing // the zero value without a fence
}

// Guard holds the decisions about the interfaces of one network namespace and
// opens sockets by them. All methods may be used concurrently.
type Guard struct {
	log    *slog.Logger
	kernel kernel
	// neighbours is the other half of the machine that is written to.
	neighbours neighbours
	prober     prober
	watcher    watcher
	fence      Fence  // nil: nothing needs one
	opener     Opener // nil: this process has the privileges itself

	mirrorWatch    time.Duration // 0 = no mirror check before an interface is used
	tendNeighbours bool
	decideOnly     bool
	onDecide       func([]Decision)
	// ready says of each sending end what keeps it from sending; nil while
	// the state is unknown.
	ready   atomic.Pointer[map[endKey]error]
	barrier barrier  // how sockets are tied to an interface; probed once
	ipv6    bool     // the kernel has IPv6
	live    *liveSet // connections handed out, to be cut with their interface
	running atomic.Bool
	kick    chan struct{} // a socket failed: look again sooner
	moved   chan struct{} // the gate was opened or closed
	doubt   chan struct{} // an interface should be looked at

	// apply serialises everything that changes which sockets are open. It is
	// taken before mu, never after.
	apply     sync.Mutex
	policy    Policy                  // guarded by apply
	links     []link                  // of the last list; guarded by apply
	mem       *memory                 // guarded by apply
	listeners map[*Listeners]struct{} // guarded by apply

	mu       sync.Mutex // guards what follows
	verdicts []verdict  // of the last list
	taken    time.Time  // of the last list
	standing Standing   // of the last look at the fence
	gate     gate
}

// system is what the guard needs of a machine.
type system interface {
	kernel
	neighbours
	prober
	watcher
}

func newGuard(o Options, k system, b barrier, ipv6 bool) (*Guard, error) {
	p, log := o.Policy, o.Log
	if err := p.check(); err != nil {
		return nil, err
	}
	links, err := k.Links()
	if err != nil {
		return nil, err
	}
	if err := checkRules(p, links); err != nil {
		if !o.Tolerant {
			return nil, err
		}
		log.Error("guard: the policy does not fit this machine: what it names wrongly stays closed", "error", err)
	}
	mem, err := openMemory(o.Accepted)
	if err != nil {
		return nil, err
	}
	mem.forget(p, links)
	g := &Guard{
		policy: p, log: log, kernel: k, neighbours: k, prober: k, watcher: k, barrier: b, ipv6: ipv6,
		fence: o.Fence, opener: o.Opener, mirrorWatch: o.MirrorWatch, tendNeighbours: o.TendNeighbours,
		decideOnly: o.DecideOnly, onDecide: o.OnDecide,
		live: newLiveSet(), mem: mem, listeners: map[*Listeners]struct{}{}, gate: newGate(),
		kick: make(chan struct{}, 1), moved: make(chan struct{}, 1), doubt: make(chan struct{}, 1),
	}
	if o.Opener != nil {
		g.watcher = looker(o.Opener.Look)
	}
	if b == byAddress {
		log.Warn("guard: this kernel refuses to bind sockets to an interface: they are bound to its addresses, a weaker barrier",
			"barrier", b.String())
	}
	g.decide(links)
	if mem.dirty && mem.path != "" {
		return nil, mem.save() // what cannot be kept now would be forgotten at the next start
	}
	return g, nil
}

// Snapshot returns the decisions of the last list.
func (g *Guard) Snapshot() Snapshot {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Snapshot{Taken: g.taken, State: g.gate.state(), Decisions: make([]Decision, 0, len(g.verdicts)), Standing: g.standing}
	for _, v := range g.verdicts {
		d := v.copied()
		d.Barrier = g.barrierText(v)
		if g.barrier == byAddress && d.Role == Service {
			d.Reason += "; degraded: sockets are bound to its addresses, not to the interface"
		}
		s.Decisions = append(s.Decisions, d)
		if d.Fresh {
			s.Fresh = append(s.Fresh, d)
		}
	}
	return s
}

// barrierText says what confines an interface. The caller holds g.mu.
func (g *Guard) barrierText(v verdict) string {
	if v.Role == Service {
		return "sockets bound by " + g.barrier.String()
	}
	if !v.fenced() || g.fence == nil {
		return ""
	}
	if b, ok := barrierAt(g.standing, v.Index); ok {
		return b.text()
	}
	return "none"
}

// copied returns a decision that shares nothing.
func (v verdict) copied() Decision {
	d := v.Decision
	d.Addresses, d.AltNames, d.Rules = slices.Clone(d.Addresses), slices.Clone(d.AltNames), slices.Clone(d.Rules)
	return d
}

// decide takes in a new list and makes every socket follow it.
func (g *Guard) decide(links []link) {
	g.apply.Lock()
	defer g.apply.Unlock()
	g.reconsider(links, true)
}

// reconsider decides about a list, and makes every socket follow. With fresh
// it was read just now, by somebody who hears of every later change. The
// caller holds g.apply.
func (g *Guard) reconsider(links []link, fresh bool) {
	verdicts := decide(g.policy, links, g.mem, g.mirrorWatch)
	if err := g.mem.save(); err != nil {
		g.log.Error("guard: what is remembered of the interfaces could not be written, trying again", "error", err)
	}
	g.links = links
	g.mu.Lock()
	before := g.verdicts
	g.taken = time.Now()
	g.mu.Unlock()
	g.report(before, verdicts)
	if g.onDecide != nil {
		g.onDecide(decisions(verdicts))
	}
	g.enforce(verdicts, fresh)
	g.wonder(verdicts)
}

// shut closes every listening socket: the interfaces could not be read again.
func (g *Guard) shut() {
	g.apply.Lock()
	defer g.apply.Unlock()
	for l := range g.listeners {
		l.reconcile(nil, false)
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

// current returns the decisions while they may be acted upon.
func (g *Guard) current() ([]verdict, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.verdicts, g.gate.err()
}

// opening is current for somebody who is about to open a socket.
func (g *Guard) opening() ([]verdict, error) {
	if g.decideOnly {
		return nil, errDecides
	}
	return g.current()
}

func (g *Guard) blind() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.gate.blind
}

func decisions(verdicts []verdict) []Decision {
	out := make([]Decision, 0, len(verdicts))
	for _, v := range verdicts {
		out = append(out, v.copied())
	}
	return out
}

func linksOf(verdicts []verdict) []link {
	out := make([]link, 0, len(verdicts))
	for _, v := range verdicts {
		out = append(out, v.link)
	}
	return out
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
