package matrix_test

import (
	"fmt"
	"net/netip"
	"strings"
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

// attackFrames is how many frames one attack has.
const attackFrames = 6 * 4 * 2

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

// TestReceiversNoAddress and the following are the rows of the receivers'
// table, each a process in a namespace of its own. First the product's sockets
// are alone, no drop stands before them, and the other ways to bind are the
// positive control. Then the warden guards, and nobody is reached, whatever
// his sockets are bound to.
func TestReceiversNoAddress(t *testing.T)    { receivers(t, "no address", false) }
func TestReceiversAnAddress(t *testing.T)    { receivers(t, "an address", false) }
func TestReceiversRenamed(t *testing.T)      { receivers(t, "renamed", false) }
func TestReceiversNamesSwapped(t *testing.T) { receivers(t, "names swapped", false) }
func TestReceiversSameIndex(t *testing.T)    { receivers(t, "same index", false) }

func TestGuardedNoAddress(t *testing.T)    { receivers(t, "no address", true) }
func TestGuardedAnAddress(t *testing.T)    { receivers(t, "an address", true) }
func TestGuardedRenamed(t *testing.T)      { receivers(t, "renamed", true) }
func TestGuardedNamesSwapped(t *testing.T) { receivers(t, "names swapped", true) }
func TestGuardedSameIndex(t *testing.T)    { receivers(t, "same index", true) }

func receivers(t *testing.T, name string, guarded bool) {
	t.Helper()
	t.Parallel()
	s := newStation(t)
	if s == nil {
		return
	}
	for _, f := range faults() {
		switch {
		case f.name != name:
		case guarded:
			s.guardedRow(f)
		default:
			s.row(f)
		}
	}
}

// row attacks the guard's sockets, and those of others beside them.
func (s *station) row(f fault) {
	s.Helper()
	b := newBeliever()
	s.start(guard.Policy{Node: "matrix", Monitoring: only(guarded)}, guard.Options{Fence: b, OnDecide: b.decided})
	s.open()
	s.arrives("before")
	f.do(s)
	s.routeBack()
	s.attack(f.name)
	s.last(f.name)
	if got := s.got(f.name); got != f.others {
		s.Errorf("%s: other ways to bind: reached %+v, the table says %+v", f.name, got, f.others)
	}
	s.oursUntouched(f.name)
	if f.still {
		s.arrives("after")
	}
}

// guardedRow does the same with every drop in place.
func (s *station) guardedRow(f fault) {
	s.Helper()
	p := guard.Policy{Node: "matrix", Monitoring: only(guarded), Ports: []guard.Port{{Network: "tcp", Port: oursPort}, {Network: "udp", Port: oursPort}}}
	w := guarding(s.T, s.Self(), p)
	s.start(p, guard.Options{Fence: w.client, Opener: w.client})
	s.open()
	s.arrives("before")
	f.do(s)
	at := s.monitored()
	before := received(s.Self(), at)
	// Some of it gets lost while the warden has a new interface down.
	until(s.T, "the frames of the attack have arrived", func() bool {
		s.attack(f.name)
		return received(s.Self(), at) >= before+2*attackFrames
	})
	if got := s.got(f.name); got != (reached{}) {
		s.Errorf("%s: reached %+v, although every drop stands", f.name, got)
	}
	s.oursUntouched(f.name)
	if cause, yes := w.tripped(); yes {
		s.Errorf("%s: tripped: %s", f.name, cause)
	}
	if f.still {
		s.arrives("after")
	}
}

// got says who was reached.
func (s *station) got(label string) reached {
	s.Helper()
	s.Logf("%s: half open: wildcard %d, device %d, address %d, ours %d", label,
		halfOpen(wildcardPort), halfOpen(devicePort), halfOpen(addressPort), halfOpen(oursPort))
	return reached{
		wildcard: s.count(wildcardPort, label) > 0,
		device:   s.count(devicePort, label) > 0,
		address:  s.count(addressPort, label) > 0,
	}
}

func (s *station) oursUntouched(label string) {
	s.Helper()
	if n, c, h := s.count(oursPort, label), s.count(oursPort, "connection"), halfOpen(oursPort); n+c+h > 0 {
		s.Errorf("%s: ours: %d datagrams, %d connections, %d half open", label, n, c, h)
	}
}

// monitored is the name that the attacker's cable has now.
func (s *station) monitored() string {
	s.Helper()
	for line := range strings.Lines(s.Self().IP("-o", "link")) {
		if f := strings.Fields(line); strings.Contains(line, nodeMAC) && len(f) > 1 {
			name, _, _ := strings.Cut(strings.TrimSuffix(f[1], ":"), "@")
			return name
		}
	}
	s.Fatal("the monitoring point is gone")
	return ""
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
