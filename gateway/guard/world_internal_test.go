package guard

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// world is a machine that a guard runs on, driven by lines of text. It prints
// what is open on it as text.
type world struct {
	t       testing.TB
	kernel  *fakeKernel
	fence   *fakeFence // nil: the node has none
	policy  Policy
	watch   time.Duration
	memory  string // path of the guard's memory
	links   []link // as they will be at the next flush
	guard   *Guard
	ports   *Listeners
	stop    func()
	births  int // of links; txQueue tells them apart
	sockets []*fakeSocket
	said    []string // what commands answered
}

// fakeFence stands as it is told to; by default as the decisions want it.
type fakeFence struct {
	changed chan struct{}

	mu    sync.Mutex // guards what follows
	s     Standing
	late  bool // it does not follow the decisions
	input bool
	wants []Decision
	holes map[string]string // by name of an interface: the drop that is missing, "role" or "all"
}

func newFakeFence() *fakeFence {
	return &fakeFence{changed: make(chan struct{}, 1), s: Standing{Known: true}, input: true, holes: map[string]string{}}
}

func (f *fakeFence) Standing() Standing {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.s
	s.Input = Check{Name: "nft input", OK: f.input}
	for _, d := range f.wants {
		hole := f.holes[d.Name]
		if d.Loopback || hole == "all" || !slices.Contains([]Role{Monitoring, DiodeTX, DiodeRX}, d.Role) {
			continue
		}
		checks := func(way string) (out []Check) {
			for _, kind := range []string{"nft ", "tc "} {
				out = append(out, Check{Name: kind + way, OK: hole != way && hole != kind+way})
			}
			return out
		}
		b := Barrier{Interface: d.Name, Index: d.Index, Role: d.Role, Egress: checks("egress"), Ingress: checks("ingress")}
		if hole == "role" {
			b.Role = DiodeTX
		}
		s.Barriers = append(s.Barriers, b)
	}
	return s
}

func (f *fakeFence) Changed() <-chan struct{} { return f.changed }

func (f *fakeFence) tell() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

func (f *fakeFence) follow(d []Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.late {
		f.wants = d
		f.tell()
	}
}

// obey does what a line "fence …" says.
func (f *fakeFence) obey(w *world, args []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch args[0] {
	case "known":
		f.s.Known, f.s.Reason = true, ""
	case "unknown":
		f.s.Known, f.s.Reason = false, strings.Join(args[1:], " ")
	case "trip":
		f.s.Trips = append(f.s.Trips, Trip{Interface: args[1], Cause: strings.Join(args[2:], " ")})
	case "reset":
		f.s.Trips = nil
	case "hole":
		f.holes[args[1]] = strings.Join(args[2:], " ")
	case "whole":
		clear(f.holes)
		f.input = true
	case "input":
		f.input = args[1] == "on"
	case "late":
		f.late = true
	case "elsewhere": // NAME isolated, with the index that OTHER has here
		all := []Check{{OK: true}, {OK: true}}
		f.s.Barriers = append(slices.Clone(f.s.Barriers), Barrier{Interface: args[1], Index: w.indexOf(args[2]), Role: Monitoring, Egress: all, Ingress: all})
	case "prompt":
		f.late, f.wants = false, w.guard.Snapshot().Decisions
	default:
		w.t.Fatalf("fence %q", args)
	}
	f.tell()
}

// fakeSocket is a socket that the guard opened, of any kind.
type fakeSocket struct {
	what  string
	index int
	born  int // of the interface
	use   use

	mu     sync.Mutex // guards closed
	closed bool
}

func (s *fakeSocket) isOpen() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.closed
}

func (s *fakeSocket) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

func (s *fakeSocket) SyscallConn() (syscall.RawConn, error) {
	if !s.isOpen() {
		return nil, net.ErrClosed
	}
	return fakeRaw{}, nil
}

func (s *fakeSocket) stat() SocketStat { return SocketStat{Interface: s.what} }
func (s *fakeSocket) shut()            { _ = s.Close() }

type fakeRaw struct{}

func (fakeRaw) Control(func(uintptr)) error    { return nil }
func (fakeRaw) Read(func(uintptr) bool) error  { return nil }
func (fakeRaw) Write(func(uintptr) bool) error { return nil }

func newWorld(t testing.TB, dir string) *world {
	t.Helper()
	return &world{t: t, kernel: newFake(), fence: newFakeFence(), memory: filepath.Join(dir, "interfaces.json")}
}

// do obeys one line.
func (w *world) do(line string) {
	w.t.Helper()
	args := strings.Fields(line)
	verb, args := args[0], args[1:]
	if w.edit(verb, args) {
		return
	}
	w.flush()
	switch verb {
	case "start", "restart":
		w.halt()
		w.start()
	case "wait":
		d, err := time.ParseDuration(args[0])
		if err != nil {
			w.t.Fatal(err)
		}
		time.Sleep(d)
	case "fence":
		w.fence.obey(w, args)
	case "nofence":
		w.fence = nil
	case "overrun":
		w.kernel.overrun()
	case "deaf":
		w.kernel.setFail(errFake)
		w.kernel.overrun()
	case "hear":
		w.kernel.setFail(nil)
	case "accept":
		_, err := w.guard.Accept(args[0])
		w.answer(line, err)
	case "change":
		w.policy = policyOf(w.t, args)
		w.answer(line, w.guard.Change(w.policy))
	case "dial", "send", "receive":
		w.open(verb, args[0])
	case "ready":
		w.answer(line, w.guard.DiodeReady(args[0], farEnd))
	default:
		w.t.Fatalf("what is %q?", line)
	}
	synctest.Wait()
}

// edit changes what the machine will look like.
func (w *world) edit(verb string, args []string) bool {
	switch verb {
	case "policy":
		w.policy = policyOf(w.t, args)
	case "watch":
		w.watch, _ = time.ParseDuration(args[0])
	case "link":
		w.births++
		w.links = append(w.links, w.linkOf(link{txQueue: w.births, index: w.nextIndex(), name: args[0], kind: "device", up: true, carrier: true, mtu: 1500}, args[1:]))
	case "set":
		i := w.at(args[0])
		w.links[i] = w.linkOf(w.links[i], args[1:])
	case "delete":
		i := w.at(args[0])
		w.links = slices.Delete(slices.Clone(w.links), i, i+1)
	case "mirror":
		unicast, _ := strconv.ParseUint(args[1], 10, 64)
		foreign, _ := strconv.ParseUint(args[2], 10, 64)
		w.kernel.mu.Lock()
		defer w.kernel.mu.Unlock()
		if w.kernel.counts == nil {
			w.kernel.counts = map[string]frameCount{}
		}
		w.kernel.counts[args[0]] = frameCount{unicast, foreign}
	default:
		return false
	}
	return true
}

func (w *world) at(name string) int {
	w.t.Helper()
	i := slices.IndexFunc(w.links, func(l link) bool { return l.name == name })
	if i < 0 {
		w.t.Fatalf("no link %q", name)
	}
	return i
}

func (w *world) nextIndex() int {
	next := 1
	for _, l := range w.links {
		next = max(next, l.index+1)
	}
	return next
}

// linkOf reads key=value pairs. A new link has an address made of its index.
func (w *world) linkOf(l link, pairs []string) link {
	w.t.Helper()
	l.loopback = l.name == "lo"
	l.altNames = slices.Clone(l.altNames)
	if l.mac == "" && !l.loopback {
		l.mac = fmt.Sprintf("02:00:00:00:00:%02x", l.index)
	}
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		switch key {
		case "index":
			l.index, _ = strconv.Atoi(value)
		case "name":
			l.name = value
		case "mac":
			l.mac = value
		case "perm":
			l.permMAC, l.mac = value, value
		case "path":
			l.path = value
		case "alt":
			l.altNames = strings.Split(value, ",")
		case "kind":
			l.kind = value
		case "master":
			l.master = w.indexOf(value)
		case "parent":
			l.parent = w.indexOf(value)
		case "up":
			l.up = value == "yes"
			l.carrier = l.up
		default:
			w.t.Fatalf("link: %q", pair)
		}
	}
	return l
}

func (w *world) indexOf(name string) int {
	w.t.Helper()
	if name == "" {
		return 0
	}
	return w.links[w.at(name)].index
}

// policyOf reads key=value pairs; lists by comma.
func policyOf(t testing.TB, pairs []string) Policy {
	t.Helper()
	var p Policy
	for _, pair := range pairs {
		key, value, _ := strings.Cut(pair, "=")
		rules := strings.Split(value, ",")
		switch key {
		case "monitoring":
			p.Monitoring = rules
		case "service":
			p.Service = rules
		case "tx":
			p.DiodeTX = rules
			p.SendEnds = []SendEnd{{Interface: rules[0], Destination: farEnd}}
		case "rx":
			p.DiodeRX = rules
		case "new":
			p.NewInterfaces = value
		case "single":
			p.SingleBarrier = true
		case "isolate":
			p.Isolate = true
		case "ports":
			p.Ports = []Port{{Network: "tcp", Port: 514}}
		default:
			t.Fatalf("policy: %q", pair)
		}
	}
	return p
}

// flush lets the machine change, with one event.
func (w *world) flush() {
	w.kernel.mu.Lock()
	same := slices.EqualFunc(w.links, w.kernel.links, sameLink)
	w.kernel.mu.Unlock()
	if !same {
		w.kernel.set(slices.Clone(w.links)...)
	}
	synctest.Wait()
}

func sameLink(a, b link) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func (w *world) answer(line string, err error) {
	if err != nil {
		w.said = append(w.said, fmt.Sprintf("%s: %v", line, err))
	}
}

func (w *world) start() {
	o := Options{Policy: w.policy, Log: quiet, Accepted: w.memory, MirrorWatch: w.watch}
	if w.fence != nil {
		o.Fence, o.OnDecide = w.fence, w.fence.follow
	}
	// Far ends have their addresses: only the fence is to keep links from
	// sending.
	for i := range 16 {
		w.kernel.table[tableKey{i, farEnd.Addr()}] = neighbour{"02:00:5e:10:00:02", true}
	}
	g, err := newGuard(o, w.kernel, byIndex, true)
	if err == nil {
		err = g.wantFenceFor(g.verdicts)
	}
	if err != nil {
		w.answer("start", err)
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	w.guard = g
	l, err := g.newListeners(ctx, "tcp", 514)
	if err == nil {
		l.start = func(s slot) (listening, error) { return w.listen(s) }
		w.ports, err = l.begin()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.stop = func() {
		stop()
		if err := errors.Join(w.ports.Close(), <-done); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *world) halt() {
	if w.stop != nil {
		w.stop()
	}
	w.stop, w.guard, w.ports, w.sockets = nil, nil, nil, nil
	synctest.Wait()
}

func (w *world) birthOf(index int) int {
	for _, l := range w.links {
		if l.index == index {
			return l.txQueue
		}
	}
	return 0
}

func (w *world) listen(s slot) (listening, error) {
	if s.local.Addr().Is6() {
		return &fakeSocket{index: s.index}, nil // one family is enough to look at
	}
	out := &fakeSocket{what: "listen", index: s.index, born: w.birthOf(s.index)}
	w.sockets = append(w.sockets, out)
	return out, nil
}

// open opens what is not a listener, with all of the guard's own checks.
func (w *world) open(verb, name string) {
	u := map[string]use{"dial": forService, "send": forDiodeTX, "receive": forDiodeRX}[verb]
	var v verdict
	var err error
	if u == forService {
		to := netip.AddrFrom4([4]byte{10, 0, 0, 1})
		w.kernel.mu.Lock()
		w.kernel.routes[to] = w.indexOf(name)
		w.kernel.mu.Unlock()
		v, err = w.guard.wayOut(to)
	} else {
		v, err = w.guard.diodeInterface(name, u)
	}
	s := &fakeSocket{what: verb, index: v.Index, born: w.birthOf(v.Index), use: u}
	if err == nil {
		err = w.guard.remember(v, u, s)
	}
	if err == nil {
		w.sockets = append(w.sockets, s)
	}
	w.answer(verb+" "+name, err)
}

// String prints what was answered since the last time, and what is open.
func (w *world) String() string {
	var b strings.Builder
	for _, text := range w.said {
		fmt.Fprintln(&b, text)
	}
	w.said = nil
	if w.guard == nil {
		return b.String()
	}
	snap := w.guard.Snapshot()
	if snap.State != StateOK {
		fmt.Fprintln(&b, snap.State)
	}
	for _, d := range snap.Decisions {
		fmt.Fprintf(&b, "%d %s %s%s: %s\n", d.Index, d.Name, d.Role, w.openOn(d.Index), d.Reason)
	}
	return b.String()
}

func (w *world) openOn(index int) string {
	kinds := map[string]int{}
	for _, s := range w.sockets {
		if s.index == index && s.isOpen() {
			kinds[s.what]++
		}
	}
	if len(kinds) == 0 {
		return ""
	}
	return " (" + strings.Join(slices.Sorted(maps.Keys(kinds)), ", ") + ")"
}
