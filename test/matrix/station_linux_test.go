package matrix_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// Ports of a station: those of the product's receivers, one of each way in
// which others bind their sockets, and one that nobody attacks.
const (
	oursPort     = 5201
	wildcardPort = 5202
	devicePort   = 5203
	addressPort  = 5204
)

// station is this process's namespace with the product's guard in it, an
// endpoint at its service interface, and an attacker at its monitoring point.
type station struct {
	*testing.T
	*netlab.Lab
	endpoint, monitor *netlab.Namespace
	guard             *guard.Guard
	tcp, udp          *guard.Listeners

	mu   sync.Mutex     // guards seen
	seen map[string]int // datagrams and connections by "port text"
}

// newStation builds the network; the guard starts with start. It returns nil
// in the process that only starts the isolated one.
func newStation(t *testing.T) *station {
	t.Helper()
	lab := netlab.Isolate(t)
	if lab == nil {
		return nil
	}
	s := &station{T: t, Lab: lab, endpoint: lab.Namespace("endpoint"), monitor: lab.Namespace("monitor"), seen: map[string]int{}}
	s.cableEndpoint()
	s.cableMonitor()
	// Reverse path filtering would hide the weak host model, which is attacked.
	lab.Self().Sysctl("net.ipv4.conf.all.rp_filter", "0")
	return s
}

func (s *station) cableEndpoint() {
	s.Helper()
	s.Cable(netlab.End{In: s.endpoint, Name: outside, Addrs: prefixes(netlab.EndpointAddr(), netlab.EndpointAddr6())},
		netlab.End{In: s.Self(), Name: service, Addrs: prefixes(netlab.PlantAddr(), netlab.PlantAddr6())})
}

// cableMonitor lays the cable of the monitoring point; options go into the
// command that makes it.
func (s *station) cableMonitor(options ...string) {
	s.Helper()
	s.Self().Batch("link add " + guarded + " " + strings.Join(options, " ") + " address " + nodeMAC +
		" type veth peer name " + outside + " address " + peerMAC + " netns " + s.monitor.Name)
	s.monitor.Batch("link set "+outside+" up", "addr add "+netlab.MonitorAddr().String()+" dev "+outside,
		"addr add "+netlab.MonitorAddr6().String()+" dev "+outside+" nodad")
	s.Self().Batch("link set " + guarded + " up")
	s.Self().Sysctl("net.ipv4.conf."+guarded+".rp_filter", "0")
}

func prefixes(p ...netip.Prefix) []netip.Prefix { return p }

// start starts a guard with the policy, and its receivers.
func (s *station) start(p guard.Policy, o guard.Options) {
	s.Helper()
	o.Policy, o.Log = p, discard()
	var err error
	if s.guard, err = guard.New(o); err != nil {
		s.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.guard.Run(ctx) }()
	s.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			s.Error(err)
		}
	})
	s.tcp, err = s.guard.ListenTCP(ctx, oursPort, func(c *net.TCPConn, _ string) {
		s.note(oursPort, "connection")
		_ = c.Close()
	})
	s.must(err)
	s.Cleanup(func() { s.must(s.tcp.Close()) })
	s.udp, err = s.guard.ListenUDP(ctx, oursPort, 1<<20, func(_ context.Context, p *guard.PacketSocket) { s.read(p.Conn, oursPort) })
	s.must(err)
	s.Cleanup(func() { s.must(s.udp.Close()) })
}

func (s *station) must(err error) {
	s.Helper()
	if err != nil {
		s.Error(err)
	}
}

func (s *station) read(c net.PacketConn, port uint16) {
	buf := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			return
		}
		s.note(port, strings.TrimRight(string(buf[:n]), "\x00"))
	}
}

func (s *station) note(port uint16, what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[fmt.Sprint(port, " ", what)]++
}

func (s *station) count(port uint16, what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[fmt.Sprint(port, " ", what)]
}

// open opens a socket of each kind that others use, in this namespace.
func (s *station) open() {
	s.Helper()
	data, data6 := netlab.PlantAddr().Addr(), netlab.PlantAddr6().Addr()
	for _, o := range []struct {
		at     netip.AddrPort
		device string
	}{
		{netip.AddrPortFrom(netip.IPv6Unspecified(), wildcardPort), ""},
		{netip.AddrPortFrom(netip.IPv6Unspecified(), devicePort), service},
		{netip.AddrPortFrom(data, addressPort), ""},
		{netip.AddrPortFrom(data6, addressPort), ""},
	} {
		lc := net.ListenConfig{Control: bindTo(o.device)}
		lc.SetMultipathTCP(false)
		u, err := lc.ListenPacket(s.Context(), "udp", o.at.String())
		if err != nil {
			s.Fatal(err)
		}
		l, err := lc.Listen(s.Context(), "tcp", o.at.String())
		if err != nil {
			s.Fatal(err)
		}
		var readers sync.WaitGroup
		readers.Go(func() { s.read(u, o.at.Port()) })
		readers.Go(func() { s.accept(l, o.at.Port()) })
		s.Cleanup(func() { _, _ = u.Close(), l.Close(); readers.Wait() })
	}
}

func (s *station) accept(l net.Listener, port uint16) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		s.note(port, "connection")
		_ = c.Close()
	}
}

// halfOpen counts the connections on a port that wait for their handshake's
// end, or are further (proc_net_tcp, state in hexadecimal: 01 established, 03
// asked for).
func halfOpen(port uint16) int {
	n := 0
	for _, path := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, _ := os.ReadFile(path)
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > 3 && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) && (f[3] == "03" || f[3] == "01") {
				n++
			}
		}
	}
	return n
}

// arrives is the positive control: the endpoint reaches the receivers.
func (s *station) arrives(label string) {
	s.Helper()
	for _, to := range []netip.Addr{netlab.PlantAddr().Addr(), netlab.PlantAddr6().Addr()} {
		text := label + " " + to.String()
		until(s.T, "datagram "+text, func() bool {
			_ = s.endpoint.Do(func() error { return say(s.Context(), netip.AddrPortFrom(to, oursPort), text) })
			return s.count(oursPort, text) > 0
		})
	}
}

func say(ctx context.Context, to netip.AddrPort, text string) error {
	c, err := (&net.Dialer{}).DialContext(ctx, "udp", to.String())
	if err != nil {
		return err
	}
	_, err = c.Write([]byte(text))
	_ = c.Close()
	return err
}

// awaitRole waits until the guard has decided so about an interface.
func (s *station) awaitRole(name, role string) {
	s.Helper()
	until(s.T, name+" is "+role, func() bool { return s.role(name) == role })
}

func (s *station) role(name string) string {
	for _, d := range s.guard.Snapshot().Decisions {
		if d.Name == name {
			return d.Role.String()
		}
	}
	return "gone"
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }
