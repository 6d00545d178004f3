//go:build linux

package fence_test

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// bench is a fence in the namespace of the test, and the peer of its
// interface mon0.
type bench struct {
	t          *testing.T
	lab        *netlab.Lab
	self, peer *netlab.Namespace
	table      *fence.Table
	fence      *fence.Fence
}

const (
	fenced = "mon0"
	faced  = "eth0"
)

// newBench returns nil in the process that only starts the other.
func newBench(t *testing.T) *bench {
	t.Helper()
	lab := netlab.Isolate(t)
	if lab == nil {
		return nil
	}
	b := &bench{t: t, lab: lab, self: lab.Self(), peer: lab.Namespace("peer")}
	lab.Cable(netlab.End{In: b.self, Name: fenced},
		netlab.End{In: b.peer, Name: faced, Addrs: []netip.Prefix{netip.MustParsePrefix("10.66.0.2/24"), netip.MustParsePrefix("fd00:66::2/64")}})
	var err error
	b.table, err = fence.OpenTable()
	must(t, err)
	t.Cleanup(func() { must(t, b.table.Close()) })
	b.fence, err = fence.New(fence.Options{Table: b.table, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	must(t, err)
	t.Cleanup(func() { must(t, b.fence.Close()) })
	return b
}

func (b *bench) target(role guard.Role) fence.Target {
	return fence.Target{Index: b.self.Index(fenced), Name: fenced, MAC: b.self.MAC(fenced), Role: role}
}

func (b *bench) audit() fence.Findings {
	b.t.Helper()
	found, err := b.fence.Audit()
	must(b.t, err)
	return found
}

// whole fails unless everything stands.
func (b *bench) whole() {
	b.t.Helper()
	found := b.audit()
	if len(found.Drifts) > 0 || len(found.Breaches) > 0 || len(found.Barriers) == 0 {
		b.t.Errorf("not whole: %+v", found)
	}
}

func TestMonitoringIsFenced(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	plan := fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}, Ports: []guard.Port{{Network: "tcp", Port: 4000}}}
	must(t, b.fence.Apply(plan))
	t.Log(b.self.Run("nft", "list", "ruleset"))
	t.Log(b.self.Run("tc", "filter", "show", "dev", fenced, "egress"))
	t.Log(b.self.Run("ip", "-s", "-d", "link", "show", fenced))
	b.whole()
	t.Logf("%+v", b.audit())
	must(t, b.fence.Apply(plan))
	if !strings.Contains(b.self.IP("link", "show", fenced), "UP") {
		t.Error("not up again")
	}
}
