//go:build linux

package fence_test

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// silentFor is how long a connection may take that is not answered. Ours: an
// answer takes less than a millisecond here.
const silentFor = 300 * time.Millisecond

// TestInput: our ports answer on allowed interfaces and on the loopback
// interface, and nowhere when shut; other ports are left alone.
func TestInput(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	b.lab.Cable(netlab.End{In: b.self, Name: "svc0", Addrs: prefixes("10.67.0.1/24", "fd00:67::1/64")},
		netlab.End{In: b.peer, Name: "eth1", Addrs: prefixes("10.67.0.2/24", "fd00:67::2/64")})
	b.self.AddAddr(fenced, prefixes("10.66.0.1/24")[0])
	b.self.AddAddr(fenced, prefixes("fd00:66::1/64")[0])
	for _, port := range []string{"4000", "4001"} {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":"+port)
		must(t, err)
		defer func() { must(t, l.Close()) }()
	}
	ports := []guard.Port{{Network: "tcp", Port: 4000}, {Network: "udp", Port: 4000}}
	look := func(what string, plan fence.Plan, allowed, closed, self, other bool) {
		t.Helper()
		must(t, b.fence.Apply(plan))
		for at, want := range map[string]bool{
			"10.67.0.1:4000": allowed, "[fd00:67::1]:4000": allowed, "10.66.0.1:4000": closed, "[fd00:66::1]:4000": closed, "10.66.0.1:4001": other,
		} {
			if got := b.connects(b.peer, at); got != want {
				t.Errorf("%s: %s from outside: %v, want %v", what, at, got, want)
			}
		}
		if got := b.connects(b.self, "127.0.0.1:4000"); got != self {
			t.Errorf("%s: from the machine itself: %v, want %v", what, got, self)
		}
		if found := b.audit(); !found.Input.OK || len(found.Drifts) > 0 {
			t.Errorf("%s: %+v", what, found)
		}
	}
	svc := b.self.Index("svc0")
	look("control", fence.Plan{}, true, true, true, true)
	look("allowed", fence.Plan{Ports: ports, Allowed: []int{svc}}, true, false, true, true)
	look("shut", fence.Plan{Ports: ports, Allowed: []int{svc}, Shut: true}, false, false, false, true)
	look("opened again", fence.Plan{Ports: ports, Allowed: []int{svc}}, true, false, true, true)
}

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func (b *bench) connects(from *netlab.Namespace, to string) bool {
	err := from.Do(func() error {
		ctx, stop := context.WithTimeout(b.t.Context(), silentFor)
		defer stop()
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
		if err != nil {
			return err
		}
		return c.Close()
	})
	return err == nil
}
