package guard_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// fencedPlant is a machine with a service interface, a monitoring point, and a
// fence that says what the test wants.
type fencedPlant struct {
	*plant
	fence  *believer
	opened chan *net.TCPConn
}

const keptPort = 5141 // of a listener that keeps its connections

func newFencedPlant(t *testing.T) *fencedPlant {
	t.Helper()
	lab := netlab.Isolate(t)
	if lab == nil {
		return nil
	}
	w := &fencedPlant{
		plant: &plant{Lab: lab, t: t, endpoint: lab.Namespace("endpoint"), monitor: lab.Namespace("monitor"), seen: map[string]int{}},
		fence: newBeliever(), opened: make(chan *net.TCPConn, 8),
	}
	lab.Cable(netlab.End{In: w.endpoint, Name: "eth0", Addrs: []netip.Prefix{netlab.EndpointAddr()}},
		netlab.End{In: lab.Self(), Name: "svc0", Addrs: []netip.Prefix{netlab.PlantAddr()}})
	w.cableMonitor()
	g, err := w.fence.guard(guard.Options{Policy: guard.Policy{Monitoring: []string{"mon0"}}})
	if err != nil {
		t.Fatal(err)
	}
	w.guard = g
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() { stop(); report(t, <-done) })
	l, err := g.ListenTCP(ctx, keptPort, func(c *net.TCPConn, _ string) {
		select {
		case w.opened <- c:
		default: // nobody waits for so many
			_ = c.Close()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	w.udp = l // its sockets are what until prints
	t.Cleanup(func() { report(t, l.Close()) })
	return w
}

// dial connects from the endpoint, and keeps the connection.
func (w *fencedPlant) dial() (c net.Conn, err error) {
	err = w.endpoint.Do(func() error {
		c, err = (&net.Dialer{Timeout: time.Second}).DialContext(w.t.Context(), "tcp", netip.AddrPortFrom(netlab.PlantAddr().Addr(), keptPort).String())
		return err
	})
	return c, err
}

// connected is a connection that has arrived in the node.
func (w *fencedPlant) connected() net.Conn {
	w.t.Helper()
	c, err := w.dial()
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	server := <-w.opened
	w.t.Cleanup(func() { _ = server.Close() })
	return c
}

// reset waits for a connection to be cut, and returns how long that took.
func (w *fencedPlant) reset(c net.Conn) time.Duration {
	w.t.Helper()
	began := time.Now()
	if err := c.SetReadDeadline(began.Add(10 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		w.t.Errorf("read: %v, want a reset", err)
	}
	return time.Since(began)
}

func (w *fencedPlant) refused() bool {
	c, err := w.dial()
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// TestTripCutsWhatIsOpen: connections are reset and ports shut, and all comes
// back by itself after the reset.
func TestTripCutsWhatIsOpen(t *testing.T) {
	w := newFencedPlant(t)
	if w == nil {
		return
	}
	c := w.connected()
	w.fence.set(func(s *guard.Standing) {
		s.Trips = []guard.Trip{{Interface: "mon0", Cause: "sent 5 frames past both drops"}}
	})
	t.Logf("reset %s after the trip", w.reset(c))
	w.until("ports are shut", w.refused)
	if _, err := w.guard.DialUDP(t.Context(), netip.AddrPortFrom(netlab.EndpointAddr().Addr(), 514)); !errors.Is(err, guard.ErrTripped) {
		t.Errorf("dial: %v", err)
	}
	if s := w.guard.Snapshot(); s.State != guard.StateTripped || len(s.Standing.Trips) != 1 {
		t.Errorf("%+v", s)
	}
	w.fence.set(func(s *guard.Standing) { s.Trips = nil })
	w.until("ports are open again", func() bool { return !w.refused() })
	_ = (<-w.opened).Close()
}

// TestSilentFence: while nothing is heard of the fence nothing is accepted,
// and after three seconds nothing is open.
func TestSilentFence(t *testing.T) {
	w := newFencedPlant(t)
	if w == nil {
		return
	}
	live := w.connected()
	w.fence.set(func(s *guard.Standing) { s.Known, s.Reason = false, "connection refused" })
	w.until("it is seen", func() bool {
		return w.guard.Snapshot().State == "unknown: the guard's warden is not heard: connection refused"
	})
	held, err := w.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close() }()
	select {
	case <-w.opened:
		t.Error("accepted while nothing is heard of the fence")
	default:
	}
	t.Logf("reset %s after the fence fell silent", w.reset(live))
	w.reset(held)
	w.until("ports are shut", w.refused)
	w.fence.set(func(s *guard.Standing) { s.Known = true })
	w.until("ports are open again", func() bool { return !w.refused() })
	_ = (<-w.opened).Close()
}

// TestRolesChangeUnderLiveConnections: to monitoring resets them, back again
// listens again.
func TestRolesChangeUnderLiveConnections(t *testing.T) {
	w := newFencedPlant(t)
	if w == nil {
		return
	}
	c := w.connected()
	report(t, w.guard.Change(guard.Policy{Monitoring: []string{"mon0", "svc0"}}))
	w.reset(c)
	if !w.refused() || w.role("svc0") != "monitoring" {
		t.Errorf("still open; svc0 is %s", w.role("svc0"))
	}
	report(t, w.guard.Change(guard.Policy{Monitoring: []string{"mon0"}, Service: []string{"mac:" + w.Self().MAC("svc0")}}))
	w.connected()
	var rule *guard.RuleError
	if err := w.guard.Change(guard.Policy{Monitoring: []string{"eno9"}}); !errors.As(err, &rule) {
		t.Errorf("a policy that does not fit: %v", err)
	}
	w.connected()
}

// TestNoFence: monitoring points without a fence are refused, with the remedy.
func TestNoFence(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	lab.Cable(netlab.End{In: lab.Self(), Name: "mon0"}, netlab.End{In: lab.Namespace("peer"), Name: "eth0"})
	o := guard.Options{Policy: guard.Policy{Monitoring: []string{"mon0"}}, Log: slog.New(slog.DiscardHandler)}
	if _, err := guard.New(o); !errors.Is(err, guard.ErrNoFence) {
		t.Errorf("got %v", err)
	}
	o.DecideOnly = true
	if _, err := guard.New(o); err != nil {
		t.Error(err)
	}
	o.DecideOnly, o.Policy = false, guard.Policy{}
	if _, err := guard.New(o); err != nil {
		t.Errorf("with nothing to fence: %v", err)
	}
}

// TestMirrorOnARealKernel: a port that gets frames for others, an ordinary one
// and an idle one.
func TestMirrorOnARealKernel(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	lab.Self().Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
	for _, c := range []struct{ name, to, want string }{
		{"mirror0", "02:00:00:00:00:99", guard.MirrorPort},
		{"plain0", "", guard.MirrorOrdinary},
		{"idle0", "none", guard.MirrorUndecided},
	} {
		t.Run(c.want, func(t *testing.T) {
			peer := lab.Namespace(c.name)
			peer.Sysctl("net.ipv6.conf.default.disable_ipv6", "1")
			lab.Cable(netlab.End{In: peer, Name: "eth0", Addrs: prefixes("10.55.0.1/24")}, netlab.End{In: lab.Self(), Name: c.name})
			if c.to == "" {
				c.to = lab.Self().MAC(c.name)
			}
			o := guard.Options{Log: slog.New(slog.DiscardHandler), Opener: opener{}, MirrorWatch: time.Second}
			g, err := guard.New(o)
			if err != nil {
				t.Fatal(err)
			}
			if c.to != "none" {
				peer.StaticNeighbour("eth0", netip.MustParseAddr("10.55.0.2"), c.to)
			}
			witness := peer.Watch("eth0")
			defer witness.Close()
			talk, stop := context.WithCancel(t.Context())
			talked := make(chan error, 1)
			go func() { talked <- peer.Do(func() error { return chatter(talk, c.to != "none") }) }()
			m, err := g.CheckMirror(t.Context(), c.name)
			stop()
			report(t, errors.Join(err, <-talked))
			if m.Verdict != c.want {
				t.Errorf("%+v, want %s", m, c.want)
			}
			t.Log(m.Text)
			if n := witness.CountIf(netlab.ToPort(0))(); n != 0 {
				t.Errorf("%d frames left while it was looked at", n)
			}
		})
	}
}

// chatter sends datagrams until ctx ends, or nothing.
func chatter(ctx context.Context, loud bool) error {
	if !loud {
		<-ctx.Done()
		return nil
	}
	c, err := net.Dial("udp4", "10.55.0.2:9") //nolint:noctx // a connected datagram socket waits for nobody
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		if _, err := c.Write([]byte("telemetry")); err != nil {
			break // refused by an ordinary port: nobody listens, the frames count all the same
		}
		<-time.After(5 * time.Millisecond)
	}
	return c.Close()
}

// opener is a privileged half in this process.
type opener struct{ lie *int }

func (o opener) Packet(_ context.Context, q guard.PacketQuery) (*os.File, error) {
	if o.lie != nil {
		q.Index, q.Name = *o.lie, "lo"
	}
	return guard.OpenPacket(q)
}

func (opener) Look(_ context.Context, index int, name string) (*os.File, error) {
	return guard.OpenLook(index, name)
}

func (opener) ForceBuffer(context.Context, syscall.Conn, int) error { return nil }

// TestBorrowedPacketSocket: what the privileged half opens is looked at before
// it is used.
func TestBorrowedPacketSocket(t *testing.T) {
	s := newSpan(t, nil, prefixes("10.99.0.1/24"))
	if s == nil {
		return
	}
	source, listen := netip.MustParseAddr("10.99.0.1"), netip.MustParseAddrPort("10.99.0.2:5760")
	loopback := 1
	for _, c := range []struct {
		name  string
		lie   *int
		works bool
	}{{"the right one", nil, true}, {"another interface's", &loopback, false}} {
		t.Run(c.name, func(t *testing.T) {
			g, err := newBeliever().guard(guard.Options{Policy: guard.Policy{DiodeRX: []string{"dio0"}}, Opener: opener{c.lie}})
			if err != nil {
				t.Fatal(err)
			}
			f, err := g.DiodeCapture(t.Context(), "dio0", source, listen)
			if (err == nil) != c.works {
				t.Fatalf("got %v", err)
			}
			if err == nil {
				report(t, f.Close())
			}
		})
	}
}
