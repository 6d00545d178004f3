package matrix_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// reached says, per way of binding, whether the attacker got through.
type reached struct{ wildcard, device, address bool }

// fault is one row of the receivers' table: what happens to the interfaces
// before the attack.
type fault struct {
	name string
	do   func(s *station)
	// others is what the requirement measured of other ways to bind.
	others reached
	// still says that the service interface is there afterwards.
	still bool
}

func faults() []fault {
	return []fault{
		{"no address", func(*station) {}, reached{wildcard: true, address: true}, true},
		{"an address", (*station).addressed, reached{wildcard: true, address: true}, true},
		{"renamed", func(s *station) {
			s.Self().Batch("link set "+guarded+" down", "link set "+guarded+" name odd0", "link set odd0 up")
			s.awaitRole("odd0", monitoring)
		}, reached{wildcard: true, address: true}, true},
		{"names swapped", (*station).swapped, reached{wildcard: true, address: true}, false},
		{"same index", (*station).sameIndex, reached{wildcard: true, device: true}, false},
	}
}

func (s *station) addressed() {
	s.Self().AddAddr(guarded, ownAddr())
	_ = s.Self().TryBatch("addr add " + ownAddr6().String() + " dev " + guarded + " nodad") // refused where IPv6 is off
}

func (s *station) swapped() {
	s.Self().Batch("link set "+service+" down", "link set "+service+" name tmp0", "link set "+guarded+" down",
		"link set "+guarded+" name "+service, "link set tmp0 name "+guarded, "link set "+service+" up", "link set "+guarded+" up")
	s.awaitRole(service, monitoring)
}

// sameIndex gives the monitoring point the index of the data interface, which
// is gone.
func (s *station) sameIndex() {
	index := s.Self().Index(service)
	s.Self().Batch("link delete "+guarded, "link delete "+service)
	s.awaitRole(service, "gone")
	s.cableMonitor(fmt.Sprintf("index %d", index))
	s.awaitRole(guarded, monitoring)
	s.addressed()
}

// attack sends to every port of the station from the monitored network, over
// IPv4 and IPv6, to its data addresses and to those that the monitoring point
// may have.
func (s *station) attack(label string) {
	s.Helper()
	for _, to := range []struct{ src, dst netip.Addr }{
		{netlab.MonitorAddr().Addr(), netlab.PlantAddr().Addr()},
		{netlab.MonitorAddr6().Addr(), netlab.PlantAddr6().Addr()},
		{netlab.MonitorAddr().Addr(), ownAddr().Addr()},
		{netlab.MonitorAddr6().Addr(), ownAddr6().Addr()},
		{netlab.EndpointAddr().Addr(), netlab.PlantAddr().Addr()}, // as if it were the endpoint
		{netlab.EndpointAddr6().Addr(), netlab.PlantAddr6().Addr()},
	} {
		var frames [][]byte
		for _, port := range []uint16{oursPort, devicePort, addressPort, wildcardPort} {
			frames = append(frames, syn(to.src, to.dst, port), datagram(to.src, to.dst, port, label))
		}
		if _, err := s.monitor.Inject(outside, false, frames...); err != nil {
			s.Fatal(err)
		}
	}
}

// TestReceiversNoAddress and the following are the receivers' table with the
// product's sockets alone: no drop stands before them. The other ways to bind
// are the positive control. Each row is a process in a namespace of its own.
func TestReceiversNoAddress(t *testing.T)    { receivers(t, "no address") }
func TestReceiversAnAddress(t *testing.T)    { receivers(t, "an address") }
func TestReceiversRenamed(t *testing.T)      { receivers(t, "renamed") }
func TestReceiversNamesSwapped(t *testing.T) { receivers(t, "names swapped") }
func TestReceiversSameIndex(t *testing.T)    { receivers(t, "same index") }

func receivers(t *testing.T, name string) {
	t.Helper()
	t.Parallel()
	s := newStation(t)
	if s == nil {
		return
	}
	for _, f := range faults() {
		if f.name == name {
			s.row(f)
		}
	}
}

// row attacks before and after a fault.
func (s *station) row(f fault) {
	s.Helper()
	b := newBeliever()
	s.start(guard.Policy{Node: "matrix", Monitoring: only(guarded)}, guard.Options{Fence: b, OnDecide: b.decided})
	s.open()
	s.arrives("before")
	f.do(s)
	s.routeBack()
	s.attack(f.name)
	until(s.T, "the attack reaches an ordinary socket", func() bool { return s.count(wildcardPort, f.name) > 0 })
	s.last(f.name)
	got := reached{
		wildcard: s.count(wildcardPort, f.name) > 0,
		device:   s.count(devicePort, f.name) > 0,
		address:  s.count(addressPort, f.name) > 0,
	}
	s.Logf("%s: reached %+v; half open: wildcard %d, device %d, address %d, ours %d", f.name, got,
		halfOpen(wildcardPort), halfOpen(devicePort), halfOpen(addressPort), halfOpen(oursPort))
	if got != f.others {
		s.Errorf("%s: other ways to bind: reached %+v, the table says %+v", f.name, got, f.others)
	}
	if n, c, h := s.count(oursPort, f.name), s.count(oursPort, "connection"), halfOpen(oursPort); n+c+h > 0 {
		s.Errorf("%s: ours: %d datagrams, %d connections, %d half open", f.name, n, c, h)
	}
	if f.still {
		s.arrives("after")
	}
}

// last waits until the last frame of an attack has arrived.
func (s *station) last(label string) {
	s.Helper()
	to := netlab.PlantAddr().Addr()
	if s.role(service) == "gone" {
		to = ownAddr().Addr()
	}
	if _, err := s.monitor.Inject(outside, false, datagram(netlab.MonitorAddr().Addr(), to, wildcardPort, label+" end")); err != nil {
		s.Fatal(err)
	}
	until(s.T, "the last frame has arrived", func() bool { return s.count(wildcardPort, label+" end") > 0 })
}

// routeBack is a route to the attacker by the interface that he sits at.
func (s *station) routeBack() {
	s.Helper()
	for _, name := range []string{guarded, "odd0", service} {
		if s.role(name) == monitoring {
			_ = s.Self().TryBatch("route replace 10.66.0.0/24 dev " + name)
			_ = s.Self().TryBatch("route replace fd00:66::/64 dev " + name) // refused where IPv6 is off
		}
	}
}
