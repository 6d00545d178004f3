package guard

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestDecideAtStart(t *testing.T) {
	member := func(l link, master int) link { l.master = master; return l }
	child := func(index int, name, kind string, parent int) link {
		l := ethernet(index, name)
		l.kind, l.parent = kind, parent
		return l
	}
	kind := func(l link, kind string) link { l.kind = kind; return l }
	tests := []struct {
		name   string
		policy Policy
		links  []link
		want   string
	}{
		{
			"everything else is service",
			Policy{Monitoring: []string{"eth1"}},
			[]link{loopback(), ethernet(2, "eth0"), ethernet(3, "eth1")},
			`1 lo service: neither monitoring point nor diode interface
			2 eth0 service: neither monitoring point nor diode interface
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			`,
		},
		{
			"a list of service interfaces closes the rest",
			Policy{Service: []string{"eth1"}},
			[]link{ethernet(2, "eth0"), ethernet(3, "eth1")},
			`2 eth0 closed: not among the service interfaces
			3 eth1 service: named as a service interface ("eth1")
			`,
		},
		{
			"diodes, by address and by path",
			Policy{DiodeTX: []string{"mac:02:00:00:00:00:02"}, DiodeRX: []string{"path:pci-0000:03:00.1"}},
			[]link{ethernet(2, "eth0"), {index: 3, name: "eth1", kind: "device", path: "pci0000:00/0000:00:1c.0/0000:03:00.1"}},
			`2 eth0 diode-tx: carries a one-way link
			3 eth1 diode-rx: carries a one-way link
			`,
		},
		{
			"loopback may be service and diode",
			Policy{Service: []string{"lo"}, DiodeTX: []string{"lo"}, DiodeRX: []string{"lo"}},
			[]link{loopback()},
			`1 lo service: named as a service interface ("lo")
			`,
		},
		{
			"a bridge's members inherit",
			Policy{Monitoring: []string{"eth1"}},
			[]link{ethernet(2, "eth0"), member(ethernet(3, "eth1"), 5), member(ethernet(4, "eth2"), 5), kind(ethernet(5, "br0"), "bridge")},
			`2 eth0 service: neither monitoring point nor diode interface
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			4 eth2 monitoring: relative of monitoring point eth1 through br0
			5 br0 monitoring: relative of monitoring point eth1
			`,
		},
		{
			"children inherit, and the parent of a declared child",
			Policy{Monitoring: []string{"eth0.10", "eth1"}},
			[]link{
				ethernet(2, "eth0"), child(3, "eth0.10", "vlan", 2), child(4, "eth0.20", "vlan", 2),
				ethernet(5, "eth1"), child(6, "mv0", "macvlan", 5), child(7, "iv0", "ipvlan", 5),
			},
			`2 eth0 monitoring: relative of monitoring point eth0.10
			3 eth0.10 monitoring: declared as a monitoring point ("eth0.10")
			4 eth0.20 monitoring: relative of monitoring point eth0.10 through eth0
			5 eth1 monitoring: declared as a monitoring point ("eth1")
			6 mv0 monitoring: relative of monitoring point eth1
			7 iv0 monitoring: relative of monitoring point eth1
			`,
		},
		{
			"a bond is a monitoring point with its members",
			Policy{Monitoring: []string{"bond0"}},
			[]link{member(ethernet(2, "eth0"), 4), member(ethernet(3, "eth1"), 4), kind(ethernet(4, "bond0"), "bond")},
			`2 eth0 monitoring: relative of monitoring point bond0
			3 eth1 monitoring: relative of monitoring point bond0
			4 bond0 monitoring: declared as a monitoring point ("bond0")
			`,
		},
		{
			"relatives of a diode carry nothing",
			Policy{DiodeTX: []string{"eth0"}},
			[]link{ethernet(2, "eth0"), child(3, "eth0.10", "vlan", 2)},
			`2 eth0 diode-tx: carries a one-way link
			3 eth0.10 closed: relative of eth0, which carries a one-way link
			`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := fakeGuard(t, newFake(tt.links...), tt.policy)
			if got, want := text(g.Snapshot()), trim(tt.want); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

func TestRulesThatDoNotFitAreRefused(t *testing.T) {
	twin := ethernet(4, "eth2")
	twin.mac = "02:00:00:00:00:02"
	bond := ethernet(5, "bond0")
	bond.kind = "bond"
	slave := ethernet(6, "eth4")
	slave.master = 5
	links := []link{loopback(), ethernet(2, "eth0"), ethernet(3, "eth1"), twin, bond, slave}
	tests := []struct {
		name   string
		policy Policy
		want   string
	}{
		{"no match", Policy{Monitoring: []string{"eno9"}}, `monitoring point "eno9" matches no interface; this machine has: lo (device), eth0 = mac:02:00:00:00:00:02 (device)`},
		{"two match", Policy{Service: []string{"mac:02:00:00:00:00:02"}}, "matches more than one interface (eth0, eth2): name one of them"},
		{"loopback", Policy{Monitoring: []string{"lo"}}, "is the loopback interface"},
		{"bond member", Policy{Monitoring: []string{"eth4"}}, "is a member of bond bond0: declare bond0 itself"},
		{"service relative of monitoring", Policy{Monitoring: []string{"bond0"}, Service: []string{"eth4"}}, "relative of monitoring point bond0"},
		{"diode and monitoring", Policy{Monitoring: []string{"eth0"}, DiodeTX: []string{"eth0"}}, "is a monitoring interface"},
		{"diode and service", Policy{Service: []string{"eth0"}, DiodeRX: []string{"eth0"}}, "carries a one-way link, which nothing else may use"},
		{"both directions", Policy{DiodeTX: []string{"eth0"}, DiodeRX: []string{"eth0"}}, "one direction per interface"},
		{"empty rule", Policy{Monitoring: []string{" "}}, "is empty: name an interface"},
		{"new interfaces", Policy{NewInterfaces: "open"}, `new_interfaces "open": want "closed" or "service"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := newGuard(Options{Policy: tt.policy, Log: quiet, TendNeighbours: true}, newFake(links...), byIndex, true)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
	_, err := newGuard(Options{Policy: Policy{Monitoring: []string{"eno9"}}, Log: quiet, TendNeighbours: true}, newFake(links...), byIndex, true)
	var rule *RuleError
	if !errors.As(err, &rule) || rule.Rule != "eno9" || len(rule.Exists) != len(links) {
		t.Errorf("got %#v, want a RuleError about eno9 that lists what exists", err)
	}
}

// TestDecideOverTime plays lists one after another to one guard.
func TestDecideOverTime(t *testing.T) {
	as := func(l link, name string) link { l.name = name; return l }
	at := func(l link, index int) link { l.index = index; return l }
	fresh := func(l link) link { l.mac = "02:ff:00:00:00:01"; return l }
	svc, mon := ethernet(2, "eth0"), ethernet(3, "eth1")
	policy := Policy{Monitoring: []string{"eth1"}}
	open := Policy{Monitoring: []string{"eth1"}, NewInterfaces: NewService}
	tests := []struct {
		name   string
		policy Policy
		later  [][]link
		want   string
	}{
		{"down and up again", policy, [][]link{{svc}, {svc, mon}}, `2 eth0 service: neither monitoring point nor diode interface
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			`},
		{"service interface comes back under another index", policy, [][]link{{mon}, {mon, at(svc, 9)}}, `3 eth1 monitoring: declared as a monitoring point ("eth1")
			9 eth0 service: neither monitoring point nor diode interface
			`},
		{"service interface comes back with another address", policy, [][]link{{mon}, {mon, fresh(svc)}}, `2 eth0 closed: appeared or changed after the first start, and new interfaces stay closed: sluice interfaces accept eth0
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			`},
		{"monitoring point renamed", open, [][]link{{svc, as(mon, "eth7")}}, `2 eth0 service: neither monitoring point nor diode interface
			3 eth7 monitoring: was monitoring point "eth1" before it changed
			`},
		{"monitoring point renamed and readdressed in two steps", open, [][]link{{svc, as(mon, "eth7")}, {svc, fresh(as(mon, "eth7"))}}, `2 eth0 service: neither monitoring point nor diode interface
			3 eth7 monitoring: was monitoring point "eth1" before it changed
			`},
		{"names swapped", policy, [][]link{{as(svc, "eth1"), as(mon, "eth0")}}, `2 eth1 monitoring: declared as a monitoring point ("eth1")
			3 eth0 monitoring: was monitoring point "eth1" before it changed
			`},
		{"monitoring point comes back under another name and index", open, [][]link{{svc}, {svc, at(as(mon, "eth7"), 8)}}, `2 eth0 service: neither monitoring point nor diode interface
			8 eth7 monitoring: was monitoring point "eth1" before it changed
			`},
		{"monitoring point takes the index of the service interface", open, [][]link{{at(mon, 2)}}, `2 eth1 monitoring: declared as a monitoring point ("eth1")
			`},
		{"new interface, closed", policy, [][]link{{svc, mon, ethernet(4, "eth2")}}, `2 eth0 service: neither monitoring point nor diode interface
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			4 eth2 closed: appeared or changed after the first start, and new interfaces stay closed: sluice interfaces accept eth2
			`},
		{"new interface, service", open, [][]link{{svc, mon, ethernet(4, "eth2")}}, `2 eth0 service: neither monitoring point nor diode interface
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			4 eth2 service: appeared after the first start, and new interfaces become service interfaces
			`},
		{"new interface while the monitoring point is missing", open, [][]link{{svc, ethernet(4, "eth2")}}, `2 eth0 service: neither monitoring point nor diode interface
			4 eth2 closed: appeared or changed while monitoring point "eth1" is missing: it may be that one
			`},
		{"service interface is enslaved with the monitoring point", policy, [][]link{{
			func() link { l := svc; l.master = 5; return l }(), func() link { l := mon; l.master = 5; return l }(), ethernet(5, "br0"),
		}}, `2 eth0 monitoring: relative of monitoring point eth1 through br0
			3 eth1 monitoring: declared as a monitoring point ("eth1")
			5 br0 monitoring: relative of monitoring point eth1
			`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := fakeGuard(t, newFake(svc, mon), tt.policy)
			for _, links := range tt.later {
				g.decide(links)
			}
			if got, want := text(g.Snapshot()), trim(tt.want); got != want {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
}

// TestAmbiguousRuleOpensNothing: a rule that named one interface at the start
// and names two now names none, because one of them may be an impostor.
func TestAmbiguousRuleOpensNothing(t *testing.T) {
	a, b := ethernet(2, "eth0"), ethernet(3, "eth1")
	twin := ethernet(4, "eth2")
	twin.mac = a.mac
	second := ethernet(5, "eth3")
	second.mac = b.mac
	k := newFake(loopback(), a, b)
	g := fakeGuard(t, k, Policy{Service: []string{"mac:" + a.mac, "lo"}, DiodeTX: []string{"mac:" + b.mac}, NewInterfaces: NewService})
	g.decide([]link{loopback(), a, b, twin, second})
	want := trim(`1 lo service: named as a service interface ("lo")
		2 eth0 closed: rule "mac:02:00:00:00:00:02" matches several interfaces: which one is meant cannot be told
		3 eth1 closed: rule "mac:02:00:00:00:00:03" matches several interfaces: which one is meant cannot be told
		4 eth2 closed: rule "mac:02:00:00:00:00:02" matches several interfaces: which one is meant cannot be told
		5 eth3 closed: rule "mac:02:00:00:00:00:03" matches several interfaces: which one is meant cannot be told
		`)
	if got := text(g.Snapshot()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	var refused *RefusedError
	_, err := g.DiodeSend(t.Context(), "mac:"+b.mac, "", netip.MustParseAddrPort("127.0.0.1:9"))
	if !errors.As(err, &refused) || refused.Reason != "it matches 2 interfaces" {
		t.Errorf("diode: %v", err)
	}
}

// TestMonitoringNeverBecomesService renames, readdresses, enslaves, removes
// and adds interfaces at random. As long as the index of a monitoring point
// lives, and whenever its address is seen, it must not be opened.
func TestMonitoringNeverBecomesService(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		links := []link{loopback(), ethernet(2, "eth0"), ethernet(3, "eth1"), ethernet(4, "eth2")}
		mon := links[2]
		whenNew := rapid.SampledFrom([]string{NewClosed, NewService}).Draw(rt, "new")
		mem, p := newMemory(), Policy{Monitoring: []string{"eth1"}, NewInterfaces: whenNew}
		alive := true
		decide(p, links, mem, 0)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			links, alive = mutate(rt, links, alive)
			for _, v := range decide(p, links, mem, 0) {
				watched := (alive && v.Index == mon.index) || v.MAC == mon.mac || v.Name == "eth1"
				if watched && v.Role != Monitoring {
					rt.Fatalf("%s is %s: %s", v.Name, v.Role, v.Reason)
				}
			}
		}
	})
}

func mutate(rt *rapid.T, links []link, alive bool) ([]link, bool) {
	out := append([]link(nil), links...)
	i := rapid.IntRange(0, len(out)-1).Draw(rt, "which")
	switch rapid.IntRange(0, 4).Draw(rt, "what") {
	case 0:
		out[i].name = rapid.SampledFrom([]string{"eth0", "eth1", "eth2", "eth7"}).Draw(rt, "name")
	case 1:
		out[i].mac = rapid.SampledFrom([]string{"02:00:00:00:00:03", "02:ee:00:00:00:01", ""}).Draw(rt, "mac")
	case 2:
		out[i].master = rapid.IntRange(0, 6).Draw(rt, "master")
	case 3:
		if len(out) > 1 {
			alive = alive && out[i].index != 3
			out = append(out[:i], out[i+1:]...)
		}
	case 4:
		next := 10
		for _, l := range out {
			next = max(next, l.index+1)
		}
		out = append(out, ethernet(next, rapid.SampledFrom([]string{"eth1", "eth8"}).Draw(rt, "added")))
	}
	return out, alive
}

func TestPolicyEqualAndString(t *testing.T) {
	a := Policy{Node: "gw", Monitoring: []string{"a", "b"}}
	b := Policy{Node: "gw", Monitoring: []string{"b", "a", "a"}, NewInterfaces: NewClosed}
	if !a.Equal(b) {
		t.Error("order and repetition of rules must not matter")
	}
	b.Service = []string{"c"}
	if a.Equal(b) {
		t.Error("another list of service interfaces is another policy")
	}
	want := `node "gw": monitoring a, b; service all that are nothing else; diode-tx none; diode-rx none; new interfaces closed`
	if got := a.String(); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}

func FuzzRules(f *testing.F) {
	for _, seed := range []string{"eth0", "mac:02:00:00:00:00:02", "mac:", "path:", "path:pci-0000:03:00.1", "path:/", ""} {
		f.Add(seed, "eth0", "pci0000:00/0000:03:00.1")
	}
	f.Fuzz(func(_ *testing.T, rule, name, path string) {
		p := Policy{Monitoring: []string{rule}, Service: []string{name}, DiodeTX: []string{path}}
		links := []link{{index: 2, name: name, path: path, mac: rule}, ethernet(3, rule)}
		_ = checkRules(p, links)
		_ = decide(p, links, newMemory(), 0)
	})
}
