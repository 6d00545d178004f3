package warden

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// inForce is a policy with something of everything.
func inForce() guard.Policy {
	return guard.Policy{
		Node: "gw", Monitoring: []string{"eno3", "eno4"}, Service: []string{"eno1"}, NewInterfaces: guard.NewClosed, Isolate: true,
		DiodeTX: []string{"eno5"}, SendEnds: []guard.SendEnd{{
			Interface: "eno5", Source: netip.MustParseAddr("10.0.0.1"), Destination: netip.MustParseAddrPort("10.0.0.2:7000"),
			MAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, MTU: 1500,
		}},
		DiodeRX: []string{"eno6", "eno7"}, ReceiveEnds: []guard.ReceiveEnd{
			{Interface: "eno6", Source: netip.MustParseAddr("10.1.0.1"), Listen: netip.MustParseAddrPort("10.1.0.2:7001")},
			{Interface: "eno7", Listen: netip.MustParseAddrPort("10.2.0.2:7002"), Capture: true},
		},
		Ports: []guard.Port{{Network: "tcp", Port: 6514}, {Network: "udp", Port: 514}},
	}
}

func TestWeaker(t *testing.T) {
	for name, c := range map[string]struct {
		change func(p *guard.Policy)
		want   []string
	}{
		"the same":      {func(*guard.Policy) {}, nil},
		"another order": {func(p *guard.Policy) { slices.Reverse(p.Monitoring); slices.Reverse(p.Ports) }, nil},
		"more guarding": {func(p *guard.Policy) {
			p.Monitoring = append(p.Monitoring, "eno8")
			p.DiodeTX, p.SendEnds = append(p.DiodeTX, "eno9"), append(p.SendEnds, guard.SendEnd{Interface: "eno9", Destination: netip.MustParseAddrPort("10.9.0.2:1")})
			p.Ports = append(p.Ports, guard.Port{Network: "tcp", Port: 1})
		}, nil},
		"fewer services":       {func(p *guard.Policy) { p.Service = []string{"eno1", "eno1"} }, nil},
		"monitoring gone":      {func(p *guard.Policy) { p.Monitoring = p.Monitoring[:1] }, []string{"nothing would stand before eno4 any more (monitoring)"}},
		"written in other way": {func(p *guard.Policy) { p.Monitoring[0] = "mac:02:00:00:00:00:03" }, []string{"nothing would stand before eno3 any more (monitoring)"}},
		"monitoring serves": {func(p *guard.Policy) { p.Monitoring, p.Service = p.Monitoring[:1], append(p.Service, "eno4") }, []string{
			"nothing would stand before eno4 any more (monitoring)", "eno4 would be a service interface",
		}},
		"monitoring sends": {func(p *guard.Policy) { p.Monitoring, p.DiodeTX = p.Monitoring[:1], append(p.DiodeTX, "eno4") }, []string{
			"eno4 would be diode-tx instead of monitoring",
		}},
		"sender gone": {func(p *guard.Policy) { p.DiodeTX, p.SendEnds = nil, nil }, []string{"nothing would stand before eno5 any more (diode-tx)"}},
		"sender receives": {func(p *guard.Policy) { p.DiodeTX, p.SendEnds, p.DiodeRX = nil, nil, append(p.DiodeRX, "eno5") }, []string{
			"eno5 would be diode-rx instead of diode-tx",
		}},
		"diodes monitor": {func(p *guard.Policy) {
			p.Monitoring = append(p.Monitoring, "eno5", "eno6", "eno7")
			p.DiodeTX, p.DiodeRX, p.SendEnds, p.ReceiveEnds = nil, nil, nil, nil
		}, nil},
		"another destination": {func(p *guard.Policy) { p.SendEnds[0].Destination = netip.MustParseAddrPort("10.0.0.3:7000") }, []string{
			"eno5 would let UDP out, from 10.0.0.1 to 10.0.0.3:7000",
		}},
		"another port":       {func(p *guard.Policy) { p.SendEnds[0].Destination = netip.MustParseAddrPort("10.0.0.2:53") }, []string{"eno5 would let UDP out, from 10.0.0.1 to 10.0.0.2:53"}},
		"any source":         {func(p *guard.Policy) { p.SendEnds[0].Source = netip.Addr{} }, []string{"eno5 would let UDP out, from any address to 10.0.0.2:7000"}},
		"unspecified source": {func(p *guard.Policy) { p.SendEnds[0].Source = netip.IPv4Unspecified() }, []string{"eno5 would let UDP out, from any address to 10.0.0.2:7000"}},
		"a mapped address is the same": {func(p *guard.Policy) {
			p.SendEnds[0].Source = netip.MustParseAddr("::ffff:10.0.0.1")
		}, nil},
		"MTU and hardware address": {func(p *guard.Policy) { p.SendEnds[0].MTU, p.SendEnds[0].MAC = 9000, nil }, nil},
		"another link sends": {func(p *guard.Policy) {
			p.SendEnds = append(p.SendEnds, guard.SendEnd{Interface: "eno5", Destination: netip.MustParseAddrPort("192.0.2.1:1")})
		}, []string{"eno5 would let UDP out, from any address to 192.0.2.1:1"}},
		"nothing sends": {func(p *guard.Policy) { p.SendEnds = nil }, nil},
		"another sender is heard": {func(p *guard.Policy) { p.ReceiveEnds[0].Source = netip.MustParseAddr("10.1.0.9") }, []string{
			"eno6 would let UDP in, from 10.1.0.9 to 10.1.0.2:7001",
		}},
		"not captured any more": {func(p *guard.Policy) { p.ReceiveEnds[1].Capture = false }, []string{"eno7 would let UDP in, from any address to 10.2.0.2:7002"}},
		"captured":              {func(p *guard.Policy) { p.ReceiveEnds[0].Capture = true }, nil},
		"ports fewer": {func(p *guard.Policy) { p.Ports = p.Ports[1:] }, []string{
			"tcp port 6514 would not be dropped on other interfaces than service interfaces",
		}},
		"another network": {func(p *guard.Policy) { p.Ports[1].Network = "tcp" }, []string{
			"udp port 514 would not be dropped on other interfaces than service interfaces",
		}},
		"more services":    {func(p *guard.Policy) { p.Service = append(p.Service, "eno2") }, []string{"eno2 would be a service interface"}},
		"all services":     {func(p *guard.Policy) { p.Service = nil }, []string{"every interface that is nothing else would be a service interface"}},
		"new interfaces":   {func(p *guard.Policy) { p.NewInterfaces = guard.NewService }, []string{"interfaces that appear later could become service interfaces by themselves"}},
		"not isolated":     {func(p *guard.Policy) { p.Isolate = false }, []string{"monitoring points would leave their namespace"}},
		"a single one":     {func(p *guard.Policy) { p.SingleBarrier = true }, []string{"one egress drop would suffice instead of two"}},
		"another node":     {func(p *guard.Policy) { p.Node = "other" }, nil},
		"unsaid is closed": {func(p *guard.Policy) { p.NewInterfaces = "" }, nil},
	} {
		p := inForce()
		c.change(&p)
		if got := weaker(inForce(), p); !slices.Equal(got, c.want) {
			t.Errorf("%s: have %q, want %q", name, got, c.want)
		}
	}
}

// What was any interface, and is a few now, is less; and a policy that guards
// nothing is weaker than any.
func TestWeakerThanOthers(t *testing.T) {
	old := inForce()
	old.Service, old.NewInterfaces, old.SingleBarrier, old.Isolate = nil, guard.NewService, true, false
	if got := weaker(old, inForce()); got != nil {
		t.Error(got)
	}
	if got := weaker(guard.Policy{}, inForce()); len(got) != 0 {
		t.Error(got)
	}
	if got := weaker(inForce(), guard.Policy{}); len(got) != 5+2+1+1 {
		t.Errorf("%d: %q", len(got), got)
	}
}

// stranger asks as another user than the operator.
func (p *post) stranger(verb string, body any) error {
	p.t.Helper()
	m, err := pack(1, verb, body)
	if err != nil {
		p.t.Fatal(err)
	}
	_, _, err = p.loop.answer(p.t.Context(), call{verb: verb, body: m.Body, peer: peer{uid: os.Getuid() + 1, pid: 1}})
	return err
}

func TestStrangersMayOnlyAddGuarding(t *testing.T) {
	dir := t.TempDir()
	p := newPost(t, dir, newFakeKernel(monitoringPoint(3, "mon0"), monitoringPoint(4, "mon1")))
	one, both := guard.Policy{Node: "plant", Monitoring: []string{"mon0"}}, guard.Policy{Node: "plant", Monitoring: []string{"mon0", "mon1"}}
	both.Ports = []guard.Port{{Network: "udp", Port: 514}}
	if err := errors.Join(p.stranger(verbOrder, one), p.stranger(verbOrder, both)); err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{verbOrder, verbRevise} {
		var body any = one
		if verb == verbRevise {
			body = revision{Policy: one}
		}
		less, ok := errors.AsType[*WeakerError](p.stranger(verb, body))
		if !ok || len(less.What) != 1 || !strings.Contains(less.What[0], "before mon1") || !strings.Contains(less.Error(), "sudo sluice guard order --config DIR --node plant") {
			t.Errorf("%s: %v", verb, less)
		}
	}
	fewer := both
	fewer.Ports = []guard.Port{{Network: "tcp", Port: 6514}}
	if err := p.stranger(verbOrder, fewer); err != nil {
		t.Error(err)
	}
	both.Ports = append(fewer.Ports, both.Ports...)
	if stored, err := (store{dir}).policy(); err != nil || !stored.Equal(both) {
		t.Errorf("ports do not stay: %v %+v", err, stored)
	}
	for i := range uint16(portsMost) {
		fewer.Ports = append(fewer.Ports, guard.Port{Network: "tcp", Port: i})
	}
	if err := p.stranger(verbOrder, fewer); !errors.Is(err, errPorts) {
		t.Errorf("have %v", err)
	}
	p.end() // the next process knows as well
	p = newPost(t, dir, p.kernel)
	if _, ok := errors.AsType[*WeakerError](p.stranger(verbOrder, one)); !ok {
		t.Error("a new process has taken it")
	}
	what, err := p.client.Revise(t.Context(), one, []uint16{514})
	if err != nil || len(what) != 2 || !strings.Contains(what[0], "mon1") || !strings.Contains(what[1], "6514") {
		t.Errorf("%q, %v", what, err)
	}
	one.Ports = []guard.Port{{Network: "udp", Port: 514}}
	if stored, err := (store{dir}).policy(); err != nil || !stored.Equal(one) {
		t.Errorf("%v %+v", err, stored)
	}
}

func TestStrangersMayNotResetOrRelease(t *testing.T) {
	p := newPost(t, t.TempDir(), newFakeKernel(monitoringPoint(3, "mon0")))
	p.order("mon0")
	for _, verb := range []string{verbReset, verbRelease} {
		err := p.stranger(verb, By{Who: "core", Reason: "taken over"})
		if e, ok := errors.AsType[*RootError](err); !ok || !strings.Contains(e.Error(), "sudo sluice guard "+verb+" --reason TEXT") {
			t.Errorf("%s: %v", verb, err)
		}
	}
	p.state("mon0 up fenced")
}

// A policy that cannot be read may have guarded anything.
func TestUnreadPolicyIsAnOperatorsToReplace(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, policyFile), []byte(`{"Drop":"everything"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPost(t, dir, newFakeKernel(monitoringPoint(3, "mon0")))
	if e, ok := errors.AsType[*WeakerError](p.stranger(verbOrder, guard.Policy{Monitoring: []string{"mon0"}})); !ok || !slices.Equal(e.What, []string{errUnread}) {
		t.Errorf("have %v", e)
	}
	p.order("mon0")
	p.state("mon0 up fenced")
	if err := p.stranger(verbOrder, guard.Policy{Monitoring: []string{"mon0", "mon1"}}); err != nil {
		t.Error(err)
	}
}

// Two rules may name one interface: what is compared is what stands here.
func TestWeakerByAnotherName(t *testing.T) {
	k := newFakeKernel(guard.Decision{Index: 5, Name: "out0", Up: true, Role: guard.DiodeTX, Rules: []string{"out0", "mac:02:00:00:00:00:05"}})
	p := newPost(t, t.TempDir(), k)
	policy := guard.Policy{DiodeTX: []string{"out0"}, SendEnds: []guard.SendEnd{{Interface: "out0", Destination: netip.MustParseAddrPort("10.0.0.2:7000")}}}
	if err := p.client.Order(t.Context(), policy); err != nil {
		t.Fatal(err)
	}
	again := policy
	again.DiodeTX = append(again.DiodeTX, "mac:02:00:00:00:00:05")
	again.SendEnds = append(slices.Clone(policy.SendEnds), guard.SendEnd{Interface: again.DiodeTX[1], Destination: netip.MustParseAddrPort("192.0.2.1:53")})
	if got := weaker(policy, again); got != nil {
		t.Errorf("the words alone: %q", got)
	}
	if e, ok := errors.AsType[*WeakerError](p.stranger(verbOrder, again)); !ok || !slices.Equal(e.What, []string{"out0 would let UDP out, from any address to 192.0.2.1:53"}) {
		t.Errorf("have %v", e)
	}
	if err := p.stranger(verbOrder, policy); err != nil {
		t.Error(err)
	}
}
