package fence

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

func both() features { return features{nft: true, tc: true} }

func monitoring(index int) Target {
	return Target{Index: index, Name: fmt.Sprintf("eth%d", index-2), Role: guard.Monitoring}
}

func link4() Flow {
	return Flow{Source: netip.MustParseAddr("10.0.0.1"), Dest: netip.MustParseAddrPort("10.0.0.2:5000")}
}

func link6() Flow { return Flow{Dest: netip.MustParseAddrPort("[fd00::2]:5000")} }

func sending(flows ...Flow) Target {
	return Target{Index: 2, Name: "eth0", Role: guard.DiodeTX, Send: flows, Receive: flows}
}

func receiving(flows ...Flow) Target {
	return Target{Index: 2, Name: "eth0", Role: guard.DiodeRX, Send: flows, Receive: flows}
}

func targets(t ...Target) Plan { return Plan{Targets: t} }

const (
	silentText = "eth0 up | nft egress@eth0 drop | tc egress: drop | nft ingress@eth0 drop | tc ingress: drop" +
		" arp=off arp_ignore=8 forwarding=0 rp_filter=2 accept_ra=1 disable_ipv6=1 multicast=off"
	passText = "input: pass from #1\n"
)

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

func fakeFence(k *fake, has features) *Fence { return newFence(nil, trimmed{k}, has) }

// trimmed keeps of the settings those that the fake has: the others do not
// exist in this kernel.
type trimmed struct{ *fake }

func (k trimmed) do(c change) error {
	if s, ok := c.(set); ok {
		if _, there := k.settings[s.index][s.setting.name]; !there {
			return errors.New("no such setting")
		}
	}
	return k.fake.do(c)
}

func TestApply(t *testing.T) {
	udp := []guard.Port{{Network: "udp", Port: 5000}, {Network: "tcp", Port: 80}}
	for _, c := range []struct {
		name  string
		setup func(k *fake)
		has   features
		plan  Plan
		want  string
	}{
		{"nothing", nil, both(), Plan{}, passText + "eth0 up arp=on arp_ignore=0 forwarding=1 rp_filter=2 accept_ra=1 disable_ipv6=0 multicast=on"},
		{"monitoring", nil, both(), targets(monitoring(2)), passText + silentText},
		{
			"monitoring that is down stays down",
			func(k *fake) { k.links[2].up = false },
			both(),
			targets(monitoring(2)), passText + strings.Replace(silentText, " up", " down", 1),
		},
		{
			"address is taken away",
			func(k *fake) { k.links[2].addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} },
			both(),
			targets(monitoring(2)), passText + silentText,
		},
		{
			"address of a link stays",
			func(k *fake) { k.links[2].addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.1/8")} },
			both(),
			targets(sending(link4())),
			passText + "eth0 up | nft egress@eth0 pass 10.0.0.1>10.0.0.2:5000; drop | tc egress: pass 10.0.0.1>10.0.0.2:5000; drop" +
				" | nft ingress@eth0 drop | tc ingress: drop arp=off arp_ignore=8 forwarding=0 rp_filter=2 accept_ra=1 disable_ipv6=1 multicast=off 10.0.0.1/8",
		},
		{
			"sending by IPv6", nil, both(), targets(sending(link6())),
			passText + "eth0 up | nft egress@eth0 pass any>[fd00::2]:5000; drop | tc egress: pass any>[fd00::2]:5000; drop" +
				" | nft ingress@eth0 drop | tc ingress: drop arp=off arp_ignore=8 forwarding=0 rp_filter=2 accept_ra=0 disable_ipv6=0 multicast=off",
		},
		{
			"receiving", func(k *fake) { k.settings[2]["ipv4/rp_filter"] = "0" },
			both(),
			targets(receiving(link4())),
			"input: pass from #1; pass udp/5000 from #2\n" +
				"eth0 up | nft egress@eth0 drop | tc egress: drop | nft ingress@eth0 pass 10.0.0.1>10.0.0.2:5000; drop" +
				" | tc ingress: pass 10.0.0.1>10.0.0.2:5000; drop arp=off arp_ignore=8 forwarding=0 rp_filter=0 accept_ra=1 disable_ipv6=1 multicast=off",
		},
		{"capturing: nothing may arrive", nil, both(), targets(receiving()), passText + silentText},
		{"nftables alone", nil, features{nft: true}, targets(monitoring(2)), passText + strings.NewReplacer(" | tc egress: drop", "", " | tc ingress: drop", "").Replace(silentText)},
		{
			"tc alone", nil,
			features{tc: true},
			targets(monitoring(2)),
			"input: \n" + strings.NewReplacer(" | nft egress@eth0 drop", "", " | nft ingress@eth0 drop", "").Replace(silentText),
		},
		{"ports", nil, both(), Plan{Ports: udp, Allowed: []int{2}}, "input: pass from #1; pass from #2; drop udp/5000; drop tcp/80\neth0 up arp=on arp_ignore=0 forwarding=1 rp_filter=2 accept_ra=1 disable_ipv6=0 multicast=on"},
		{"shut", nil, both(), Plan{Ports: udp, Allowed: []int{2}, Shut: true, Targets: []Target{receiving(link4())}}, "input: drop udp/5000; drop tcp/80\n" +
			"eth0 up | nft egress@eth0 drop | tc egress: drop | nft ingress@eth0 pass 10.0.0.1>10.0.0.2:5000; drop" +
			" | tc ingress: pass 10.0.0.1>10.0.0.2:5000; drop arp=off arp_ignore=8 forwarding=0 rp_filter=2 accept_ra=1 disable_ipv6=1 multicast=off"},
		{
			"what others left", func(k *fake) {
				k.chains["egress-9"] = chainState{there: true}
				k.chains["what"] = chainState{there: true}
				k.programs[spot{9, egress}] = fakeProgram{text: "?"}
			},
			both(),
			targets(monitoring(2)), passText + silentText,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newFake("eth0")
			if c.setup != nil {
				c.setup(k)
			}
			f := fakeFence(k, c.has)
			if err := f.Apply(c.plan); err != nil {
				t.Fatal(err)
			}
			check(t, "state", k.String(), c.want)
			k.done = nil
			if err := f.Apply(c.plan); err != nil || len(k.done) > 0 {
				t.Errorf("again: %v, did %q", err, k.done)
			}
			if found, err := f.Audit(); err != nil || len(found.Drifts)+len(found.Breaches) > 0 {
				t.Errorf("audit: %+v, %v", found, err)
			}
			if len(k.chains) > 2*len(c.plan.Targets) || len(k.programs) > 2*len(c.plan.Targets) {
				t.Errorf("left: %v %v", k.chains, k.programs)
			}
		})
	}
}

// TestOrder: what is new is installed while the interface is down.
func TestOrder(t *testing.T) {
	k := newFake("eth0")
	f := fakeFence(k, both())
	must(t, f.Apply(targets(monitoring(2))))
	first, last := k.done[1], k.done[len(k.done)-1]
	if k.done[0] != "input: pass from #1" || first != "#2 down" || last != "#2 up" {
		t.Errorf("did %q", k.done)
	}
	k.done = nil
	must(t, f.Apply(targets(sending(link4()))))
	if k.done[0] != "#2 down" || k.done[len(k.done)-1] != "#2 up" {
		t.Errorf("role changed: did %q", k.done)
	}
	k.done = nil
	must(t, f.Apply(targets(sending(link4(), link6()))))
	if strings.Contains(strings.Join(k.done, " "), "down") {
		t.Errorf("flow added: did %q", k.done)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestAudit: each change by somebody else is found, and set right.
func TestAudit(t *testing.T) {
	for _, c := range []struct {
		name     string
		tamper   func(k *fake)
		drifts   string
		breaches string
		right    string // what Apply does; "down" means it may set it down
	}{
		{"egress chain gone", func(k *fake) { delete(k.chains, "egress-2") }, "nft egress is gone", "", "chain egress-2 on eth0, 7 sent: drop"},
		{"ingress chain gone", func(k *fake) { delete(k.chains, "ingress-2") }, "nft ingress is gone", "", "chain ingress-2 on eth0, 7 sent: drop"},
		{"foreign rule", func(k *fake) { k.tamper("egress-2", func(c *chainState) { c.rules = "?; drop" }) }, "nft egress is not as it was applied", "", "chain egress-2 on eth0, 7 sent: drop"},
		{"another hook", func(k *fake) { k.tamper("egress-2", func(c *chainState) { c.hooked = false }) }, "nft egress is not as it was applied", "", "chain egress-2 on eth0, 7 sent: drop"},
		{
			"renamed", func(k *fake) { k.links[2].name = "eth7" }, `nft egress stands before "eth0"; nft ingress stands before "eth0"`, "",
			"chain egress-2 on eth7, 7 sent: drop; chain ingress-2 on eth7, 7 sent: drop",
		},
		{"egress program gone", func(k *fake) { delete(k.programs, spot{2, egress}) }, "tc egress is gone", "", "#2 tc egress: drop"},
		{"ingress program gone", func(k *fake) { delete(k.programs, spot{2, ingress}) }, "tc ingress is gone", "", "#2 tc ingress: drop"},
		{"foreign program", func(k *fake) { k.programs[spot{2, egress}] = fakeProgram{text: "egress: pass"} }, "tc egress another filter runs first", "", "#2 tc egress: drop"},
		{"program of an earlier process", func(k *fake) { k.process++ }, "tc egress is not the one of this process; tc ingress is not the one of this process", "", "#2 tc egress: drop; #2 tc ingress: drop"},
		{
			"both egress drops gone", func(k *fake) { delete(k.chains, "egress-2"); delete(k.programs, spot{2, egress}) }, "nft egress is gone; tc egress is gone", "",
			"#2 down; chain egress-2 on eth0, 7 sent: drop; #2 tc egress: drop; chain ingress-2 on eth0, 7 sent: drop; #2 up",
		},
		{"arp", func(k *fake) { k.settings[2]["arp"] = on }, "arp is on, want off", "", "#2 arp = off"},
		{"multicast", func(k *fake) { k.settings[2]["multicast"] = on }, "multicast is on, want off", "", "#2 multicast = off"},
		{"sysctl", func(k *fake) { k.settings[2]["ipv6/disable_ipv6"] = "0" }, "ipv6/disable_ipv6 is 0, want 1", "", "#2 ipv6/disable_ipv6 = 1"},
		{"sysctl that may be greater", func(k *fake) { k.settings[2]["ipv4/rp_filter"] = "1" }, "", "", ""},
		{"sysctl that is less", func(k *fake) { k.settings[2]["ipv4/rp_filter"] = "0" }, "ipv4/rp_filter is 0, want 1", "", "#2 ipv4/rp_filter = 1"},
		{"sysctl that vanished", func(k *fake) { delete(k.settings[2], "ipv4/forwarding") }, "", "", ""},
		{"address", func(k *fake) { k.links[2].addrs = []netip.Prefix{netip.MustParsePrefix("10.0.0.9/8")} }, "has address 10.0.0.9/8", "", "#2 no address 10.0.0.9/8"},
		{"master", func(k *fake) { k.links[2].relatives = "member of br0" }, "has relatives: member of br0", "", ""},
		{"XDP", func(k *fake) { k.links[2].xdp = true }, "", "an XDP program is attached", ""},
		{"sent", func(k *fake) { k.links[2].sent = 9 }, "", "sent 2 frames since it was fenced", ""},
		{"counter began anew", func(k *fake) { k.links[2].sent = 0 }, "", "", ""},
		{"input gone", func(k *fake) { k.input = chainState{} }, "nft input is gone", "", "input: pass from #1"},
		{"input changed", func(k *fake) { k.input.rules = "?" }, "nft input is not as it was applied", "", "input: pass from #1"},
		{"somebody else's interface", func(k *fake) { k.settings[3]["arp"] = off }, "", "", ""},
		{"set down", func(k *fake) { k.links[2].up = false }, "", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newFake("eth0", "eth1")
			f := fakeFence(k, both())
			must(t, f.Apply(targets(monitoring(2))))
			c.tamper(k)
			up, done := k.links[2].up, len(k.done)
			found, err := f.Audit()
			must(t, err)
			check(t, "drifts", driftText(found), c.drifts)
			check(t, "breaches", breachText(found), c.breaches)
			if len(k.done) != done {
				t.Errorf("audit did %q", k.done[done:])
			}
			must(t, f.Apply(targets(monitoring(2))))
			check(t, "set right", strings.Join(k.done[done:], "; "), c.right)
			found, err = f.Audit()
			must(t, err)
			check(t, "drifts afterwards", driftText(found), "")
			if k.links[2].up != up {
				t.Error("it is not up or down as before")
			}
		})
	}
}

func (k *fake) tamper(name string, f func(*chainState)) {
	c := k.chains[name]
	f(&c)
	k.chains[name] = c
}

func driftText(f Findings) string {
	out := make([]string, len(f.Drifts))
	for i, d := range f.Drifts {
		out[i] = d.What
	}
	return strings.Join(out, "; ")
}

func breachText(f Findings) string {
	out := make([]string, len(f.Breaches))
	for i, b := range f.Breaches {
		out[i] = b.Cause
	}
	return strings.Join(out, "; ")
}

// TestApplyErrors: what cannot be fenced stays down, and does not keep others
// from being fenced.
func TestApplyErrors(t *testing.T) {
	broken := errors.New("broken")
	t.Run("chain refused", func(t *testing.T) {
		k := newFake("eth0", "eth1")
		k.refuse["chain egress-2 on eth0, 7 sent: drop"] = broken
		f := fakeFence(k, both())
		if err := f.Apply(targets(monitoring(2), monitoring(3))); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		if k.links[2].up || !k.links[3].up {
			t.Errorf("%s", k)
		}
		delete(k.refuse, "chain egress-2 on eth0, 7 sent: drop")
		must(t, f.Apply(targets(monitoring(2), monitoring(3))))
		if !k.links[2].up {
			t.Errorf("not up again: %s", k)
		}
	})
	t.Run("down for a trip", func(t *testing.T) {
		k := newFake("eth0")
		k.refuse["#2 tc egress: drop"] = broken
		f := fakeFence(k, both())
		if err := f.Apply(targets(monitoring(2))); !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
		must(t, f.Down(2))
		delete(k.refuse, "#2 tc egress: drop")
		must(t, f.Apply(targets(monitoring(2))))
		if k.links[2].up {
			t.Error("it is up")
		}
	})
	t.Run("read back differs", func(t *testing.T) {
		k := newFake("eth0")
		k.lie = true
		if err := fakeFence(k, both()).Apply(targets(monitoring(2))); err == nil || k.links[2].up {
			t.Errorf("%v, %s", err, k)
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		k := newFake("eth0")
		k.refuse["read"] = broken
		f := fakeFence(k, both())
		_, err := f.Audit()
		for _, err := range []error{f.Apply(targets(monitoring(2))), f.Remove(), err} {
			if !errors.Is(err, broken) {
				t.Errorf("%v", err)
			}
		}
	})
	for name, p := range map[string]Plan{
		"loopback":     targets(Target{Index: 1, Name: "lo", Role: guard.Monitoring}),
		"no role":      targets(Target{Index: 2, Role: guard.Service}),
		"twice":        targets(monitoring(2), monitoring(2)),
		"no port":      targets(sending(Flow{Dest: netip.MustParseAddrPort("10.0.0.2:0")})),
		"two families": targets(sending(Flow{Source: netip.MustParseAddr("::1"), Dest: netip.MustParseAddrPort("10.0.0.2:1")})),
		"gone":         targets(monitoring(9)),
	} {
		k := newFake("eth0")
		if err := fakeFence(k, both()).Apply(p); err == nil {
			t.Errorf("%s: no error; %s", name, k)
		}
	}
}

// TestTakeOver: what an earlier process left is continued without setting the
// interface down, when both drops stand.
func TestTakeOver(t *testing.T) {
	for _, c := range []struct {
		name   string
		target Target
		tamper func(k *fake)
		down   bool
	}{
		{"whole", monitoring(2), func(*fake) {}, false},
		{"ingress gone", monitoring(2), func(k *fake) { delete(k.chains, "ingress-2") }, false},
		{"chain gone", monitoring(2), func(k *fake) { delete(k.chains, "egress-2") }, true},
		{"no comment", monitoring(2), func(k *fake) { k.tamper("egress-2", func(c *chainState) { c.based = false }) }, true},
		{"program gone", monitoring(2), func(k *fake) { delete(k.programs, spot{2, egress}) }, true},
		{"sending", sending(link4()), func(*fake) {}, false},
		{"sending, other flow", sending(link4()), func(k *fake) { k.programs[spot{2, egress}] = fakeProgram{text: "egress: drop"} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := newFake("eth0")
			must(t, fakeFence(k, both()).Apply(targets(c.target)))
			k.process++
			c.tamper(k)
			k.done = nil
			f := fakeFence(k, both())
			must(t, f.Apply(targets(c.target)))
			if down := strings.Contains(strings.Join(k.done, " "), "down"); down != c.down {
				t.Errorf("did %q", k.done)
			}
			if found, err := f.Audit(); err != nil || len(found.Drifts)+len(found.Breaches) > 0 || !k.links[2].up {
				t.Errorf("%+v %v %s", found, err, k)
			}
		})
	}
}

// TestBeyond counts what a sending link sent past the program.
func TestBeyond(t *testing.T) {
	k := newFake("eth0")
	f := fakeFence(k, both())
	must(t, f.Apply(targets(sending(link4()))))
	step := func(passed, sent uint64, want string) {
		t.Helper()
		p := k.programs[spot{2, egress}]
		p.passed += passed
		k.programs[spot{2, egress}] = p
		k.links[2].sent += sent
		found, err := f.Audit()
		must(t, err)
		check(t, fmt.Sprintf("%d passed, %d sent", passed, sent), breachText(found), want)
	}
	step(10, 10, "")
	step(10, 4, "") // the others wait in the card
	step(0, 6, "")
	step(0, 1, "sent 1 frames beyond those of the link")
	step(1, 0, "")

	// Taken over while 5 frames had passed that the card had not counted.
	k.process++
	f = fakeFence(k, both())
	must(t, f.Apply(targets(sending(link4()))))
	step(20, 25, "")
	for range slackLooks {
		step(20, 20, "")
	}
	step(0, 200, "sent 105 frames beyond those of the link")
}

// TestRemove takes everything away.
func TestRemove(t *testing.T) {
	k := newFake("eth0")
	f := fakeFence(k, both())
	must(t, f.Apply(Plan{Targets: []Target{monitoring(2)}, Ports: []guard.Port{{Network: "tcp", Port: 1}}}))
	must(t, f.Remove())
	check(t, "state", k.String(), "input: \neth0 up arp=off arp_ignore=8 forwarding=0 rp_filter=2 accept_ra=1 disable_ipv6=1 multicast=off")
	must(t, f.Close())
	if !k.closed {
		t.Error("not closed")
	}
}

func TestMissing(t *testing.T) {
	one := &MissingError{Features: []string{"a", "b"}, Remaining: "tc egress"}
	none := &MissingError{Features: []string{"a"}}
	check(t, "one", one.Error(), `guard: fence: this kernel lacks a, b; only tc egress remains (an exception "single_guard_barrier" accepts it)`)
	check(t, "none", none.Error(), "guard: fence: this kernel lacks a; no egress drop can be installed")
}

func TestSpot(t *testing.T) {
	for name, ok := range map[string]bool{"egress-2": true, "ingress-17": true, "egress-": false, "egress-02": false, "input": false, "what-2": false, "egress-2x": false, "": false} {
		if s, got := spotOf(name); got != ok || ok && s.chainName() != name {
			t.Errorf("%q: %v %v", name, s, got)
		}
	}
}
