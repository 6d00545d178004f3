package matrix_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// live starts a station whose receivers hold what they accept, and opens one
// connection from the endpoint.
func live(t *testing.T) (*station, net.Conn) {
	t.Helper()
	s := newStation(t)
	if s == nil {
		return nil, nil
	}
	b := newBeliever()
	s.start(guard.Policy{Node: "matrix", Monitoring: only(guarded)}, guard.Options{Fence: b, OnDecide: b.decided})
	s.hold()
	s.arrives("before")
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return s, c
}

// holdPort is of a receiver that keeps its connections open.
const holdPort = 5205

func (s *station) hold() {
	s.Helper()
	l, err := s.guard.ListenTCP(context.Background(), holdPort, func(c *net.TCPConn, _ string) {
		s.note(holdPort, "connection")
		_, _ = io.Copy(io.Discard, c)
	})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { s.must(l.Close()) })
}

// connect opens a connection from the endpoint to that receiver.
func (s *station) connect() (c net.Conn, err error) {
	before := s.count(holdPort, "connection")
	err = s.endpoint.Do(func() error {
		at := netip.AddrPortFrom(netlab.PlantAddr().Addr(), holdPort)
		c, err = (&net.Dialer{Timeout: time.Second}).DialContext(s.Context(), "tcp", at.String())
		return err
	})
	if err == nil {
		until(s.T, "the connection is accepted", func() bool { return s.count(holdPort, "connection") > before })
	}
	return c, err
}

// isReset waits until the endpoint learns that its connection is gone.
func isReset(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	_, err := c.Read(make([]byte, 1))
	if err == nil || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection lives on: %v", err)
	}
}

// TestRoleFlipsUnderLiveConnections makes the service interface a monitoring
// point while an endpoint is connected, and a service interface again.
func TestRoleFlipsUnderLiveConnections(t *testing.T) {
	t.Parallel()
	s, c := live(t)
	if s == nil {
		return
	}
	s.must(s.guard.Change(guard.Policy{Node: "matrix", Monitoring: only(guarded, service)}))
	isReset(t, c)
	s.awaitRole(service, monitoring)
	if c, err := s.connect(); err == nil {
		_ = c.Close()
		t.Error("a monitoring point was connected to")
	}
	s.must(s.guard.Change(guard.Policy{Node: "matrix", Monitoring: only(guarded)}))
	s.awaitRole(service, "closed") // what was a monitoring point has to be accepted
	_, err := s.guard.Accept(service)
	s.must(err)
	s.arrives("after")
}

// TestRoleFlipsWithAWarden does the same with every drop in place: the
// connection is reset, the drops stand, and only then the order has been
// carried out. On the way back nothing is open before it is accepted.
func TestRoleFlipsWithAWarden(t *testing.T) {
	t.Parallel()
	s := newStation(t)
	if s == nil {
		return
	}
	p := guard.Policy{Node: "matrix", Monitoring: only(guarded), Ports: []guard.Port{{Network: "tcp", Port: holdPort}, {Network: "udp", Port: oursPort}}}
	w := guarding(t, s.Self(), p)
	s.start(p, guard.Options{Fence: w.client, Opener: w.client})
	s.hold()
	s.arrives("before")
	c, err := s.connect()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	both := p
	both.Monitoring = only(guarded, service)
	s.must(s.guard.Change(both))
	isReset(t, c)
	s.must(w.client.Order(t.Context(), both))
	seen := s.endpoint.Watch(outside)
	if _, err := s.Self().Inject(service, true, marks(stimulusMark, 5)...); err != nil {
		t.Error(err)
	}
	if c, err := s.connect(); err == nil {
		_ = c.Close()
		t.Error("a monitoring point was connected to")
	}
	if n := seen.Count(); n > 0 {
		t.Errorf("%d frames left after the order was carried out", n)
	}
	s.must(w.client.Order(t.Context(), p))
	s.must(s.guard.Change(p))
	s.awaitRole(service, "closed")
	if _, err := w.client.Accept(t.Context(), service); err != nil {
		t.Error(err)
	}
	_, err = s.guard.Accept(service)
	s.must(err)
	// The quiet settings of a monitoring point stay until somebody undoes them.
	s.Self().IP("link", "set", service, "arp", "on", "multicast", "on")
	s.Self().Sysctl("net.ipv4.conf."+service+".arp_ignore", "0")
	s.Self().Sysctl("net.ipv6.conf."+service+".disable_ipv6", "0")
	s.Self().AddAddr(service, netlab.PlantAddr())
	s.Self().AddAddr(service, netlab.PlantAddr6())
	s.arrives("after")
}

// TestEnslavedUnderLiveConnections bridges the service interface with the
// monitoring point.
func TestEnslavedUnderLiveConnections(t *testing.T) {
	t.Parallel()
	s, c := live(t)
	if s == nil {
		return
	}
	s.Self().Batch("link add br0 type bridge", "link set "+service+" master br0", "link set "+guarded+" master br0")
	s.awaitRole(service, monitoring)
	isReset(t, c)
	until(t, "nothing listens there any more", func() bool { return s.listening() == "lo" })
	s.Self().IP("link", "set", service, "nomaster")
	s.awaitRole(service, "service")
	s.arrives("after")
}

// TestHotPlug plugs an interface in that nobody has named.
func TestHotPlug(t *testing.T) {
	t.Parallel()
	s, _ := live(t)
	if s == nil {
		return
	}
	before := s.listening()
	s.Self().Batch("link add new0 type veth peer name "+"new1"+" netns "+s.monitor.Name, "addr add 10.67.0.1/24 dev new0", "link set new0 up")
	s.monitor.Batch("addr add 10.67.0.2/24 dev new1", "link set new1 up")
	s.awaitRole("new0", "closed")
	until(t, "it is up", func() bool { return strings.Contains(s.Self().IP("link", "show", "new0"), "LOWER_UP") })
	_ = s.monitor.Do(func() error { return say(s.Context(), netip.MustParseAddrPort("10.67.0.1:5201"), "hot") })
	s.arrives("after")
	if got := s.listening(); got != before || s.count(oursPort, "hot") != 0 {
		t.Errorf("listening on %q, before on %q; %d datagrams came in by it", got, before, s.count(oursPort, "hot"))
	}
	if fresh := s.guard.Snapshot().Fresh; len(fresh) != 1 || fresh[0].Name != "new0" {
		t.Errorf("fresh: %+v", fresh)
	}
}

// TestRulesMatchOne starts with rules that match nothing, and two interfaces.
func TestRulesMatchOne(t *testing.T) {
	t.Parallel()
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	lab.Self().Batch("link add twin0 address "+nodeMAC+" type veth peer name twin1", "link set twin1 address "+nodeMAC)
	for _, rule := range []string{"eno7", "mac:" + nodeMAC} {
		b := newBeliever()
		_, err := guard.New(guard.Options{Policy: guard.Policy{Node: "matrix", Monitoring: only(rule)}, Log: discard(), Fence: b, OnDecide: b.decided})
		var wrong *guard.RuleError
		if !errors.As(err, &wrong) || !strings.Contains(err.Error(), "twin0") {
			t.Errorf("%s: %v", rule, err)
		}
	}
}

// listening lists the interfaces with an open datagram socket.
func (s *station) listening() string {
	var out []string
	for _, st := range s.udp.Stats() {
		if st.State == guard.SocketListening && strings.HasPrefix(st.Local, "0.0.0.0") {
			out = append(out, st.Interface)
		}
	}
	return strings.Join(out, " ")
}
