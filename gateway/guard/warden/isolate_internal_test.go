package warden

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// fakeRoom is another machine that interfaces move to.
type fakeRoom struct {
	home, inside *fakeKernel
	wake         []int
	closed       bool
	refuse       error
}

func (r *fakeRoom) decisions() ([]guard.Decision, error) {
	r.inside.mu.Lock()
	defer r.inside.mu.Unlock()
	out := slices.Clone(r.inside.links)
	for i := range out {
		out[i].Reason, out[i].Rules = isolatedReason, nil
	}
	return out, nil
}

// move plays the kernel: an interface arrives down.
func move(d guard.Decision, from, to *fakeKernel) {
	from.change(func() {
		from.links = slices.DeleteFunc(slices.Clone(from.links), func(l guard.Decision) bool { return l.Index == d.Index })
	})
	d.Up = false
	to.change(func() { to.links = append(to.links, d) })
}

func (r *fakeRoom) take(d guard.Decision) error {
	if r.refuse != nil {
		return r.refuse
	}
	move(d, r.home, r.inside)
	if d.Up {
		r.wake = append(r.wake, d.Index)
	}
	return nil
}

func (r *fakeRoom) rouse() error {
	for _, index := range r.wake {
		_ = r.inside.Up(index)
	}
	r.wake = nil
	return nil
}

func (r *fakeRoom) empty() (up []int, err error) {
	for _, d := range slices.Clone(r.inside.links) {
		if d.Up {
			up = append(up, d.Index)
		}
		move(d, r.inside, r.home)
	}
	return up, nil
}

// do lets the loop's own calls meet the other machine, as its thread would.
func (r *fakeRoom) do(f func() error) error {
	r.home.there = r.inside
	defer func() { r.home.there = nil }()
	return f()
}

func (r *fakeRoom) close() error {
	r.closed = true
	return nil
}

// newIsolatingPost is a post with a room.
func newIsolatingPost(t *testing.T, k *fakeKernel) (*post, *fakeRoom) {
	t.Helper()
	r := &fakeRoom{home: k, inside: newFakeKernel()}
	k.extend = func(outer enforcer, _ bool) (*annex, error) {
		return &annex{outer: outer, inner: confined{r, r.inside}, room: r}, nil
	}
	return newPost(t, t.TempDir(), k), r
}

func TestIsolation(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"), guard.Decision{Index: 4, Name: "svc0", Up: true, Role: guard.Service})
	p, r := newIsolatingPost(t, k)
	policy := guard.Policy{Node: "plant", Monitoring: []string{"mon0"}, Isolate: true}
	if err := p.client.Order(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	p.state("svc0 up")
	if have := r.inside.String(); have != "mon0 up fenced" {
		t.Errorf("inside: %s", have)
	}
	s, err := p.client.Audit(t.Context())
	if err != nil || len(s.Barriers) != 1 || s.Barriers[0].Interface != "mon0" || len(s.Trips) != 0 {
		t.Fatalf("%+v, %v", s, err)
	}
	p.moves <- 3 // the kernel tells of the warden's own move

	r.inside.change(func() { r.inside.broken[3] = []string{"tc", "nft"} })
	until(t, "tripped inside", func() bool { return r.inside.String() == "mon0 down fenced" })
	p.state("svc0 up, ports shut")
	if err := p.client.Reset(t.Context(), By{Who: "operator", Reason: "looked at it"}); err != nil {
		t.Fatal(err)
	}
	if have := r.inside.String(); have != "mon0 up fenced" {
		t.Errorf("inside: %s", have)
	}

	policy.Isolate = false
	if err := p.client.Order(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	p.state("svc0 up, mon0 up fenced")
	if !r.closed {
		t.Error("the room is still there")
	}
}

func TestIsolationImpossible(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	p, r := newIsolatingPost(t, k)
	r.refuse = errors.New("cannot leave its namespace")
	err := p.client.Order(t.Context(), guard.Policy{Monitoring: []string{"mon0"}, Isolate: true})
	if err == nil || !strings.Contains(err.Error(), "cannot leave") {
		t.Errorf("have %v", err)
	}
	p.state("mon0 up fenced")
	until(t, "it is not said to stand as ordered", func() bool { return !p.client.Standing().Known })
}

func TestIsolationNotAllowed(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	k.extend = func(enforcer, bool) (*annex, error) { return nil, errors.New("start the warden with --isolate") }
	p := newPost(t, t.TempDir(), k)
	err := p.client.Order(t.Context(), guard.Policy{Monitoring: []string{"mon0"}, Isolate: true})
	if err == nil || !strings.Contains(err.Error(), "--isolate") {
		t.Errorf("have %v", err)
	}
	p.state("mon0 up fenced") // all the same
}
