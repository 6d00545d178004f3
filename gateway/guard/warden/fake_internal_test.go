package warden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// fakeKernel is a machine as the loop sees it. Its String is compared as text.
type fakeKernel struct {
	mu       sync.Mutex // guards what follows
	links    []guard.Decision
	applied  fence.Plan
	broken   map[int][]string // index → drops that somebody took away: "nft", "tc"
	sent     map[int]uint64   // frames by the counter, since the machine's start
	fenced   map[int]uint64   // the counter when fenced
	xdp      map[int]bool
	applies  int
	applyErr error
	closed   bool
	decider  *fakeDecider
	extend   func(enforcer, bool) (*annex, error)
	there    *fakeKernel // where the loop's thread is, when not here
}

func newFakeKernel(links ...guard.Decision) *fakeKernel {
	return &fakeKernel{links: links, broken: map[int][]string{}, sent: map[int]uint64{}, fenced: map[int]uint64{}, xdp: map[int]bool{}}
}

func monitoringPoint(index int, name string) guard.Decision {
	return guard.Decision{Index: index, Name: name, MAC: "02:00:00:00:00:01", Up: true, Role: guard.Monitoring, Rules: []string{name}}
}

func (k *fakeKernel) Apply(p fence.Plan) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.applyErr != nil {
		return k.applyErr
	}
	before := k.applied
	k.applied, k.applies, k.broken = p, k.applies+1, map[int][]string{}
	for _, t := range p.Targets {
		if !slices.ContainsFunc(before.Targets, func(o fence.Target) bool { return o.Index == t.Index }) {
			k.fenced[t.Index] = k.sent[t.Index]
		}
	}
	return nil
}

func (k *fakeKernel) Audit() (fence.Findings, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := fence.Findings{Input: guard.Check{Name: "input", OK: true}}
	for _, t := range k.applied.Targets {
		b := guard.Barrier{Interface: t.Name, Index: t.Index, Role: t.Role, Sent: k.sent[t.Index] - k.fenced[t.Index]}
		for _, drop := range []string{"nft", "tc"} {
			gone := slices.Contains(k.broken[t.Index], drop)
			b.Egress = append(b.Egress, guard.Check{Name: drop, OK: !gone})
			if gone {
				f.Drifts = append(f.Drifts, fence.Drift{Index: t.Index, Interface: t.Name, What: drop + " egress is gone"})
			}
		}
		b.Ingress = []guard.Check{{Name: "nft", OK: true}}
		f.Barriers = append(f.Barriers, b)
		if b.Sent > 0 {
			f.Breaches = append(f.Breaches, fence.Breach{Index: t.Index, Interface: t.Name, Cause: fmt.Sprintf("sent %d frames", b.Sent)})
		}
		if k.xdp[t.Index] {
			f.Breaches = append(f.Breaches, fence.Breach{Index: t.Index, Interface: t.Name, Cause: "an XDP program was attached"})
		}
	}
	return f, nil
}

func (k *fakeKernel) Down(index int) error { return k.set(index, false) }

// Up implements interfaces.
func (k *fakeKernel) Up(index int) error {
	if k.there != nil {
		return k.there.Up(index)
	}
	return k.set(index, true)
}

func (k *fakeKernel) set(index int, up bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range k.links {
		if k.links[i].Index == index {
			k.links[i].Up = up
			k.tell()
			return nil
		}
	}
	return errors.New("no such device")
}

// tell plays the event: the decider decides anew.
func (k *fakeKernel) tell() {
	if k.decider != nil {
		k.decider.on(slices.Clone(k.links))
	}
}

// change plays somebody else.
func (k *fakeKernel) change(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
	k.tell()
}

func (k *fakeKernel) Close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	return nil
}

// Sent implements interfaces.
func (k *fakeKernel) Sent(index int) (uint64, error) {
	if k.there != nil {
		return k.there.Sent(index)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.sent[index], nil
}

// Probe implements prober: every drop takes everything.
func (k *fakeKernel) Probe(int, int) error { return nil }

func (k *fakeKernel) Packet(q guard.PacketQuery) (*os.File, error) { return fakeSocket(q.Name) }
func (k *fakeKernel) Look(_ int, name string) (*os.File, error)    { return fakeSocket(name) }
func (k *fakeKernel) Grow(socket *os.File, bytes int) error {
	_, err := fmt.Fprintf(socket, "grown to %d\n", bytes)
	return err
}

// fakeSocket is a pipe that something can be read from.
func fakeSocket(name string) (*os.File, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(w, "socket on %s\n", name)
	return r, errors.Join(err, w.Close())
}

// String prints what stands.
func (k *fakeKernel) String() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var lines []string
	for _, l := range k.links {
		state := "down"
		if l.Up {
			state = "up"
		}
		if slices.ContainsFunc(k.applied.Targets, func(t fence.Target) bool { return t.Index == l.Index }) {
			state += " fenced"
		}
		lines = append(lines, l.Name+" "+state)
	}
	if k.applied.Shut {
		lines = append(lines, "ports shut")
	}
	return strings.Join(lines, ", ")
}

// fakeDecider gives out the decisions of its kernel.
type fakeDecider struct {
	on func([]guard.Decision)
}

func (*fakeDecider) Run(ctx context.Context) error { <-ctx.Done(); return nil }

func (*fakeDecider) Accept(name string) (guard.Decision, error) {
	return guard.Decision{Name: name, Role: guard.Service}, nil
}

// post is a warden on a fake kernel, with a client.
type post struct {
	t      *testing.T
	kernel *fakeKernel
	loop   *loop
	dir    string
	client *Client
	moves  chan int
	end    func()
	socket string
}

// newPost starts the loop, its server and a client; they end with the test,
// or with end.
func newPost(t *testing.T, dir string, k *fakeKernel) *post {
	t.Helper()
	p := &post{t: t, kernel: k, dir: dir, moves: make(chan int, 1), socket: filepath.Join(dir, "w.sock")}
	quiet := slog.New(slog.DiscardHandler)
	l := newLoop(quiet, store{dir})
	l.links, l.opens, l.probes, l.moves = k, k, k, p.moves
	l.operator = os.Getuid()
	p.loop = l
	l.build = func(bool) (enforcer, error) { return k, nil }
	l.tend, l.scatter = func() error { return nil }, func() {}
	l.extend, l.abandon = k.extend, func() {}
	l.decide = func(policy guard.Policy, tolerant bool, on func([]guard.Decision)) (decider, error) {
		if slices.Contains(policy.Monitoring, "missing") && !tolerant {
			return nil, &guard.RuleError{List: "monitoring_points", Rule: "missing", Reason: "matches 0 interfaces"}
		}
		d := &fakeDecider{on}
		k.mu.Lock()
		defer k.mu.Unlock()
		k.decider = d
		k.tell()
		return d, nil
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	listener, err := listen(ctx, p.socket)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	all.Go(func() { l.run(ctx) })
	all.Go(func() { newServer(quiet, []int{os.Getuid()}, l, l.board).run(ctx, listener) })
	p.client = dial(t, p.socket)
	p.end = sync.OnceFunc(func() { stop(); all.Wait() })
	t.Cleanup(p.end)
	return p
}

// dial runs a client until the test ends.
func dial(t *testing.T, socket string) *Client {
	t.Helper()
	c, err := Dial(t.Context(), socket, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return c
}

// until polls for something that other goroutines do.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

func (p *post) state(want string) {
	p.t.Helper()
	until(p.t, want+"; it is "+p.kernel.String(), func() bool { return p.kernel.String() == want })
}

func (p *post) order(monitoring ...string) {
	p.t.Helper()
	if err := p.client.Order(p.t.Context(), guard.Policy{Node: "plant", Monitoring: monitoring}); err != nil {
		p.t.Fatal(err)
	}
}
