package matrix_test

import (
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// outcomes of a reaction.
const (
	mustRestore = "restored"
	mustTrip    = "tripped"
	mustHold    = "unharmed" // it never had an effect
)

// reactionCase is something that somebody else does to a guarded interface.
type reactionCase struct {
	name string
	do   func(c *cell)
	want string
}

func reactionCases() []reactionCase {
	return []reactionCase{
		{"nft flush ruleset", func(c *cell) { c.tolerate(c.run("nft", "flush", "ruleset")) }, mustHold},
		{"table deleted", func(c *cell) { c.tolerate(c.run("nft", "delete", "table", "netdev", "sluice")) }, mustHold},
		{"egress filter deleted", func(c *cell) { c.tolerate(c.run("tc", "filter", "delete", "dev", guarded, "egress")) }, mustRestore},
		{"clsact deleted", func(c *cell) { c.tolerate(c.run("tc", "qdisc", "delete", "dev", guarded, "clsact")) }, mustRestore},
		{"arp on", func(c *cell) { c.node.IP("link", "set", guarded, "arp", "on") }, mustRestore},
		{"multicast on", func(c *cell) { c.node.IP("link", "set", guarded, "multicast", "on") }, mustRestore},
		{"IPv6 on", func(c *cell) { c.node.Sysctl("net.ipv6.conf."+guarded+".disable_ipv6", "0") }, mustRestore},
		{"arp_ignore off", func(c *cell) { c.node.Sysctl("net.ipv4.conf."+guarded+".arp_ignore", "0") }, mustRestore},
		{"an address", func(c *cell) { c.node.AddAddr(guarded, ownAddr()) }, mustRestore},
		{"filter before ours", func(c *cell) {
			c.tolerate(c.run("tc", words("filter add dev %s egress pref 1 bpf da bytecode 1,6_0_0_0", guarded)...))
		}, mustRestore},
		{"XDP program", func(c *cell) { c.tolerate(c.attach(c.node, guarded, ebpf.XDP, xdpPass)) }, mustTrip},
		{"moved away", func(c *cell) { c.node.IP("link", "set", guarded, "netns", c.lab.Namespace("fresh").Name) }, mustTrip},
		{"AF_XDP", func(c *cell) { c.tolerate(c.node.TransmitXDP(guarded, mark(stimulusMark))) }, mustTrip},
	}
}

// TestReaction does to a guarded monitoring point what somebody else might,
// and waits until the warden has set it right, or has tripped.
func TestReaction(t *testing.T) {
	for _, r := range reactionCases() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			c := newCell(t, anything)
			w := guarding(t, c.node, guard.Policy{Node: "matrix", Monitoring: only(guarded)})
			c.up()
			c.rest(settle) // so that it is known to be up
			w.awaitWhole()
			before := len(w.client.Standing().Restored)
			began := time.Now()
			r.do(c)
			w.await(r.want, before)
			t.Logf("%s: %s after %s: %v", r.name, r.want, since(began), w.said(before))
			if all, _ := c.seen(); all > 0 && r.want != mustTrip {
				t.Errorf("%d frames left", all)
			}
			if r.want == mustTrip && r.name != "moved away" {
				until(t, "the interface is down", func() bool { return !strings.Contains(c.node.IP("link", "show", guarded), ",UP") })
			}
		})
	}
}

// await waits for what must become of it. The second is the requirement's; a
// loaded machine gets more.
func (w *watched) await(want string, before int) {
	w.Helper()
	if want == mustHold {
		if _, err := w.client.Audit(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.awaitWhole()
		return
	}
	until(w.T, want+"\n"+w.explain(), func() bool {
		_, tripped := w.tripped()
		if want == mustTrip {
			return tripped
		}
		if tripped {
			w.Fatalf("tripped instead:\n%s", w.explain())
		}
		return len(w.client.Standing().Restored) > before && whole(w.client.Standing())
	})
}

// said is what the warden reports of it.
func (w *watched) said(before int) []string {
	if cause, yes := w.tripped(); yes {
		return []string{cause}
	}
	return w.restored()[before:]
}
