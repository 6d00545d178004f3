package warden

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

func TestOrderFences(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0"), guard.Decision{Index: 4, Name: "svc0", Up: true, Role: guard.Service}))
	until(t, "a standing without a policy", func() bool { return p.client.Standing().Known })
	p.order("mon0")
	p.state("mon0 up fenced, svc0 up")
	s, err := p.client.Audit(t.Context())
	if err != nil || len(s.Barriers) != 1 || s.Barriers[0].Interface != "mon0" || s.PID != os.Getpid() {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestOrderRefused(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0")))
	p.order("mon0")
	err := p.client.Order(t.Context(), guard.Policy{Monitoring: []string{"missing"}})
	if rule, ok := errors.AsType[*guard.RuleError](err); !ok || rule.Rule != "missing" {
		t.Errorf("have %v", err)
	}
	p.state("mon0 up fenced")
}

func TestApplyErrorIsTold(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	k.applyErr = errors.New("no such hook")
	p := newPost(t, t.TempDir(), k)
	err := p.client.Order(t.Context(), guard.Policy{Monitoring: []string{"mon0"}})
	if err == nil || !strings.Contains(err.Error(), "no such hook") {
		t.Errorf("have %v", err)
	}
	until(t, "unknown with the reason", func() bool {
		s := p.client.Standing()
		return !s.Known && strings.Contains(s.Reason, "no such hook")
	})
	k.change(func() { k.applyErr = nil })
	p.state("mon0 up fenced")
	until(t, "known again", func() bool { return p.client.Standing().Known })
}

func TestRestored(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	p := newPost(t, t.TempDir(), k)
	p.order("mon0")
	k.change(func() { k.broken[3] = []string{"tc"} })
	until(t, "restored", func() bool {
		s := p.client.Standing()
		return len(s.Restored) == 1 && s.Restored[0].What == "tc egress is gone" && len(s.Trips) == 0 && s.Barriers[0].Egress[1].OK
	})
	p.state("mon0 up fenced")
}

func TestTripLatchesUntilReset(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	dir := t.TempDir()
	p := newPost(t, dir, k)
	p.order("mon0")
	k.change(func() { k.broken[3] = []string{"tc", "nft"}; k.sent[3] = 5 })
	p.state("mon0 down fenced, ports shut")
	until(t, "told", func() bool { s := p.client.Standing(); return len(s.Trips) == 1 && s.Trips[0].Cause == "sent 5 frames" })
	if _, err := os.Stat(filepath.Join(dir, latchFile)); err != nil {
		t.Error(err)
	}
	_ = k.Up(3) // somebody
	p.state("mon0 down fenced, ports shut")

	p.end() // another process
	p = newPost(t, dir, k)
	p.state("mon0 down fenced, ports shut")
	until(t, "still told", func() bool { return len(p.client.Standing().Trips) == 1 })
	_ = k.Up(3)
	p.state("mon0 down fenced, ports shut")

	if err := p.client.Reset(t.Context(), By{Who: "operator"}); err == nil {
		t.Error("reset without a reason")
	}
	if err := p.client.Reset(t.Context(), By{Who: "operator", Reason: "looked at it"}); err != nil {
		t.Error(err)
	}
	p.state("mon0 up fenced")
	if _, err := os.Stat(filepath.Join(dir, latchFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the latch is still there: %v", err)
	}
}

func TestResetOfWhatIsStillWrong(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	p := newPost(t, t.TempDir(), k)
	p.order("mon0")
	k.change(func() { k.xdp[3] = true })
	p.state("mon0 down fenced, ports shut")
	err := p.client.Reset(t.Context(), By{Who: "operator", Reason: "hope"})
	if err == nil || !strings.Contains(err.Error(), "tripped again: an XDP program") {
		t.Errorf("have %v", err)
	}
	p.state("mon0 down fenced, ports shut")
}

func TestSentWhileNobodyLooked(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	dir := t.TempDir()
	p := newPost(t, dir, k)
	p.order("mon0")
	p.end()
	k.sent[3] = 2
	k.applied.Targets = nil // a new fence knows nothing of before
	p = newPost(t, dir, k)
	until(t, "tripped", func() bool {
		s := p.client.Standing()
		return len(s.Trips) == 1 && s.Trips[0].Cause == "sent 2 frames while no warden was looking"
	})
	p.state("mon0 down fenced, ports shut")
}

func TestMovedAway(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"), monitoringPoint(4, "mon1"))
	p := newPost(t, t.TempDir(), k)
	p.order("mon0", "mon1")
	p.moves <- 3 // the news may come before the list shows it
	k.change(func() { k.links = k.links[1:] })
	until(t, "tripped", func() bool { return len(p.client.Standing().Trips) == 1 })
	k.change(func() { k.links = nil }) // deleted
	if s, err := p.client.Audit(t.Context()); err != nil || len(s.Trips) != 1 || s.Trips[0].Interface != "mon0" {
		t.Errorf("%+v, %v", s.Trips, err)
	}
}

func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{latchFile, policyFile} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := newPost(t, dir, newFakeKernel(monitoringPoint(3, "mon0")))
	until(t, "tripped and unknown", func() bool {
		s := p.client.Standing()
		return !s.Known && strings.Contains(s.Reason, policyFile) && len(s.Trips) == 1 && strings.Contains(s.Trips[0].Cause, latchFile)
	})
}

func TestPolicyUnderstoodWholeOrNotAtAll(t *testing.T) {
	if _, err := argument[guard.Policy](call{verb: verbOrder, body: []byte(`{"Monitoring":["a"],"Quarantine":["b"]}`)}); err == nil {
		t.Error("a field that could ask for a drop was skipped")
	}
}

func TestRelease(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	dir := t.TempDir()
	p := newPost(t, dir, k)
	p.order("mon0")
	if err := p.client.Release(t.Context(), By{Who: "operator", Reason: "the node is taken away"}); err != nil {
		t.Fatal(err)
	}
	p.state("mon0 up")
	k.change(func() {
		if !k.closed {
			t.Error("the fence was not closed")
		}
	})
	if _, err := os.Stat(filepath.Join(dir, policyFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the policy is still there: %v", err)
	}
}

func TestSockets(t *testing.T) {
	rx := guard.Decision{Index: 5, Name: "drx0", Up: true, Role: guard.DiodeRX}
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0"), rx))
	p.order("mon0")
	f, err := p.client.Packet(t.Context(), guard.PacketQuery{Index: 5, Name: "drx0"})
	if err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 64)
	n, err := f.Read(text)
	if err != nil || string(text[:n]) != "socket on drx0\n" {
		t.Errorf("%q, %v", text[:n], err)
	}
	_ = f.Close()
	_, err = p.client.Packet(t.Context(), guard.PacketQuery{Index: 3, Name: "mon0"})
	if refused, ok := errors.AsType[*guard.RefusedError](err); !ok || refused.Role != guard.Monitoring {
		t.Errorf("a socket on a monitoring point: %v", err)
	}
	if _, err = p.client.Packet(t.Context(), guard.PacketQuery{Index: 5, Name: "mon0"}); err == nil {
		t.Error("index and name of two interfaces")
	}
	if f, err = p.client.Look(t.Context(), 3, "mon0"); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = r.Close(), w.Close() }()
	if err := p.client.ForceBuffer(t.Context(), w, 4<<20); err != nil {
		t.Fatal(err)
	}
	if n, err = r.Read(text); err != nil || string(text[:n]) != "grown to 4194304\n" {
		t.Errorf("%q, %v", text[:n], err)
	}
	if err := p.client.ForceBuffer(t.Context(), w, 1<<40); err == nil {
		t.Error("a buffer beyond the bound")
	}
}

func TestAcceptAndTest(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0")))
	if _, err := p.client.Accept(t.Context(), "eno4"); err == nil {
		t.Error("accepted without a policy")
	}
	p.order("mon0")
	if d, err := p.client.Accept(t.Context(), "eno4"); err != nil || d.Name != "eno4" {
		t.Errorf("%+v, %v", d, err)
	}
	r, err := p.client.Test(t.Context())
	if err != nil || len(r.Probes) != 1 || r.Probes[0].OK || r.Probes[0].Text != "of 3 frames 0 were dropped, and 0 left" {
		t.Errorf("the fake drops nothing and counts nothing: %+v, %v", r, err)
	}
}

func TestLatchFollowsTheName(t *testing.T) {
	dir := t.TempDir()
	s := store{dir}
	err := errors.Join(
		s.setPolicy(&guard.Policy{Monitoring: []string{"mon0"}}),
		s.setTrips([]guard.Trip{{Interface: "mon0", Index: 99, Cause: "sent 5 frames"}}), // before the machine was started anew
	)
	if err != nil {
		t.Fatal(err)
	}
	p := newPost(t, dir, newFakeKernel(monitoringPoint(3, "mon0"), monitoringPoint(99, "mon1")))
	p.state("mon0 down fenced, mon1 up fenced, ports shut")
}

func TestTripThatCannotBeWrittenDown(t *testing.T) {
	k := newFakeKernel(monitoringPoint(3, "mon0"))
	dir := t.TempDir()
	p := newPost(t, dir, k)
	p.order("mon0")
	if err := os.Mkdir(filepath.Join(dir, latchFile+".new"), 0o700); err != nil {
		t.Fatal(err)
	}
	k.change(func() { k.xdp[3] = true })
	p.state("mon0 down fenced, ports shut")
}
