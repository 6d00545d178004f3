package guard_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

const (
	tcpPort  = 5140
	udpPort  = 5514
	openPort = 9999 // of the control: an ordinary socket on every address
)

// plant is this process's namespace with a guard in it, an endpoint at its
// service interface and an attacker at its monitoring point.
type plant struct {
	*netlab.Lab
	t                 *testing.T
	endpoint, monitor *netlab.Namespace
	guard             *guard.Guard
	tcp, udp          *guard.Listeners
	control           *net.UDPConn

	mu   sync.Mutex // guards seen
	seen map[string]int
}

// newPlant builds the network, starts a guard with the policy, and listens.
// It returns nil in the process that only starts the isolated one.
func newPlant(t *testing.T, p guard.Policy) *plant {
	t.Helper()
	lab := netlab.Isolate(t)
	if lab == nil {
		return nil
	}
	w := &plant{Lab: lab, t: t, endpoint: lab.Namespace("endpoint"), monitor: lab.Namespace("monitor"), seen: map[string]int{}}
	lab.Cable(netlab.End{In: w.endpoint, Name: "eth0", Addrs: []netip.Prefix{netlab.EndpointAddr(), netlab.EndpointAddr6()}},
		netlab.End{In: lab.Self(), Name: "svc0", Addrs: []netip.Prefix{netlab.PlantAddr(), netlab.PlantAddr6()}})
	w.cableMonitor()
	// Reverse path filtering would hide the weak host model, which is what is
	// attacked here.
	lab.Self().Sysctl("net.ipv4.conf.all.rp_filter", "0")
	w.start(p)
	return w
}

func (w *plant) cableMonitor() {
	w.t.Helper()
	w.Cable(netlab.End{In: w.monitor, Name: "eth0", MAC: "02:6d:6f:6e:00:02", Addrs: []netip.Prefix{netlab.MonitorAddr(), netlab.MonitorAddr6()}},
		netlab.End{In: w.Self(), Name: "mon0", MAC: "02:6d:6f:6e:00:01"})
	w.Self().Sysctl("net.ipv4.conf.mon0.rp_filter", "0")
	for _, target := range []netip.Prefix{netlab.PlantAddr(), netlab.PlantAddr6(), netip.MustParsePrefix("10.66.0.1/24")} {
		addr := target.Addr().String()
		w.monitor.Run("ip", "route", "replace", addr, "dev", "eth0")
		w.monitor.Run("ip", "neighbour", "replace", addr, "lladdr", "02:6d:6f:6e:00:01", "dev", "eth0", "nud", "permanent")
	}
}

func (w *plant) start(p guard.Policy) {
	t := w.t
	t.Helper()
	var err error
	if w.guard, err = newGuard(p); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.guard.Run(ctx) }()
	t.Cleanup(func() { stop(); report(t, <-done) })
	w.tcp, err = w.guard.ListenTCP(ctx, tcpPort, func(c *net.TCPConn, iface string) {
		w.note("tcp", iface)
		_ = c.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { report(t, w.tcp.Close()) })
	w.udp, err = w.guard.ListenUDP(ctx, udpPort, 1<<20, func(ctx context.Context, s *guard.PacketSocket) {
		w.read(ctx, s.Conn, "udp")
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { report(t, w.udp.Close()) })
	if w.control, err = net.ListenUDP("udp", &net.UDPAddr{Port: openPort}); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() { defer close(read); w.read(ctx, w.control, "control") }()
	t.Cleanup(func() { _ = w.control.Close(); <-read })
}

func report(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func (w *plant) read(ctx context.Context, c *net.UDPConn, kind string) {
	buf := make([]byte, 2048)
	for ctx.Err() == nil {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		w.note(kind, string(buf[:n]))
	}
}

func (w *plant) note(kind, what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[kind+" "+what]++
}

func (w *plant) count(key string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[key]
}

// send sends one datagram from a namespace.
func (w *plant) send(from *netlab.Namespace, to netip.Addr, port uint16, text string) {
	w.t.Helper()
	err := from.Do(func() error {
		c, err := (&net.Dialer{}).DialContext(w.t.Context(), "udp", netip.AddrPortFrom(to, port).String())
		if err != nil {
			return err
		}
		_, err = c.Write([]byte(text))
		return errors.Join(err, c.Close())
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// connect opens a TCP connection from a namespace and closes it.
func (w *plant) connect(from *netlab.Namespace, to netip.Addr) error {
	return from.Do(func() error {
		c, err := (&net.Dialer{Timeout: 300 * time.Millisecond}).DialContext(w.t.Context(), "tcp", netip.AddrPortFrom(to, tcpPort).String())
		if err != nil {
			return err
		}
		return c.Close()
	})
}

func (w *plant) until(what string, ok func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("still not after 10 s: %s; %+v; %+v", what, w.guard.Snapshot(), w.udp.Stats())
		}
	}
}

// endpointArrives is the positive control of the receivers.
func (w *plant) endpointArrives(label string) {
	w.t.Helper()
	for _, to := range []netip.Addr{netlab.PlantAddr().Addr(), netlab.PlantAddr6().Addr()} {
		text := label + " " + to.String()
		w.send(w.endpoint, to, udpPort, text)
		w.until("datagram "+text, func() bool { return w.count("udp "+text) == 1 })
		before := w.count("tcp svc0")
		if err := w.connect(w.endpoint, to); err != nil {
			w.t.Errorf("%s: endpoint to %s: %v", label, to, err)
		}
		w.until("connection "+text, func() bool { return w.count("tcp svc0") > before })
	}
}

// attack aims at an address of ours from the monitored network. A datagram to
// the control's port, sent last by the same way, shows that the frames arrive.
func (w *plant) attack(label string, to netip.Addr) {
	w.t.Helper()
	text := label + " attack " + to.String()
	if err := w.connect(w.monitor, to); err == nil {
		w.t.Errorf("%s: the monitor connected to %s", label, to)
	}
	w.send(w.monitor, to, udpPort, text)
	w.send(w.monitor, to, openPort, text)
	w.until("the control sees the attack: "+text, func() bool { return w.count("control "+text) == 1 })
	if w.count("udp "+text) != 0 {
		w.t.Errorf("%s: a datagram from the monitor reached the receiver at %s", label, to)
	}
}

func (w *plant) role(name string) string {
	for _, d := range w.guard.Snapshot().Decisions {
		if d.Name == name {
			return d.Role.String()
		}
	}
	return "gone"
}

// listeningOn lists the interfaces with an open datagram socket.
func (w *plant) listeningOn() string {
	var out []string
	for _, s := range w.udp.Stats() {
		if s.State == guard.SocketListening && strings.HasPrefix(s.Local, "0.0.0.0") {
			out = append(out, s.Interface)
		}
	}
	return strings.Join(out, " ")
}

func TestMonitoredNetworkReachesNothing(t *testing.T) {
	w := newPlant(t, guard.Policy{Monitoring: []string{"mon0"}})
	if w == nil {
		return
	}
	all := func(label string, targets ...netip.Addr) {
		t.Helper()
		w.endpointArrives(label)
		for _, to := range append(targets, netlab.PlantAddr().Addr(), netlab.PlantAddr6().Addr()) {
			w.attack(label, to)
		}
	}
	if got := w.listeningOn(); got != "lo svc0" {
		t.Fatalf("listening on %q", got)
	}
	own := netip.MustParseAddr("10.66.0.1")
	all("plain")
	w.Self().AddAddr("mon0", netip.MustParsePrefix("10.66.0.1/24"))
	all("with an address", own)
	w.Self().Run("ip", "link", "set", "mon0", "name", "evil0")
	w.until("the rename is seen", func() bool { return w.role("evil0") == "monitoring" })
	all("renamed", own)
	w.Self().Run("ip", "link", "delete", "evil0")
	w.until("the removal is seen", func() bool { return w.role("evil0") == "gone" })
	w.endpointArrives("removed")
	w.cableMonitor()
	w.until("it is back", func() bool { return w.role("mon0") == "monitoring" })
	all("created again")
	w.Self().Run("ip", "link", "set", "svc0", "down")
	w.Self().Run("ip", "link", "set", "svc0", "name", "tmp0")
	w.Self().Run("ip", "link", "set", "mon0", "name", "svc0")
	w.Self().Run("ip", "link", "set", "tmp0", "name", "mon0")
	w.until("the swap is seen", func() bool { return w.role("svc0") == "monitoring" && w.role("mon0") == "monitoring" })
	w.attack("swapped", netlab.PlantAddr().Addr())
	if got := w.listeningOn(); got != "lo" {
		t.Errorf("after the swap listening on %q", got)
	}
}

func TestServiceInterfacesComeAndGo(t *testing.T) {
	w := newPlant(t, guard.Policy{Monitoring: []string{"mon0"}})
	if w == nil {
		return
	}
	mac := w.Self().MAC("svc0")
	w.Self().Run("ip", "link", "set", "svc0", "down")
	w.Self().Run("ip", "link", "set", "svc0", "up")
	w.Self().Run("ip", "link", "delete", "svc0")
	w.until("it is gone", func() bool { return w.listeningOn() == "lo" })
	cable := func(name, mac string) {
		w.Cable(netlab.End{In: w.endpoint, Name: "p" + name, Addrs: []netip.Prefix{netlab.EndpointAddr(), netlab.EndpointAddr6()}},
			netlab.End{In: w.Self(), Name: name, MAC: mac, Addrs: []netip.Prefix{netlab.PlantAddr(), netlab.PlantAddr6()}})
	}
	cable("svc0", mac)
	w.until("it listens again", func() bool { return w.listeningOn() == "lo svc0" })
	w.endpointArrives("again")
	cable("new0", "")
	w.until("the new one is closed", func() bool { return w.role("new0") == "closed" })
	if got := w.listeningOn(); got != "lo svc0" {
		t.Errorf("listening on %q", got)
	}
	w.Self().Run("ip", "link", "add", "br0", "type", "bridge")
	w.Self().Run("ip", "link", "set", "svc0", "master", "br0")
	w.Self().Run("ip", "link", "set", "mon0", "master", "br0")
	w.until("bridged with the monitoring point", func() bool { return w.listeningOn() == "lo" })
	w.Self().Run("ip", "link", "set", "svc0", "nomaster")
	w.until("taken out again", func() bool { return w.listeningOn() == "lo svc0" })
	w.Self().Run("ip", "link", "set", "mon0", "nomaster")
	w.Self().Run("ip", "link", "add", "link", "mon0", "name", "mv0", "type", "macvlan")
	w.until("macvlan", func() bool { return w.role("mv0") == "monitoring" })
}

func TestSameIndexForAnotherInterface(t *testing.T) {
	w := newPlant(t, guard.Policy{Monitoring: []string{"mon0"}, NewInterfaces: guard.NewService})
	if w == nil {
		return
	}
	index := fmt.Sprint(w.Self().Index("svc0"))
	w.Self().Run("ip", "link", "delete", "mon0")
	w.Self().Run("ip", "link", "delete", "svc0")
	w.Self().Run("ip", "link", "add", "mon0", "index", index, "type", "bridge")
	w.until("the index is a monitoring point", func() bool { return w.role("mon0") == "monitoring" && w.listeningOn() == "lo" })
}

func TestNothingLeavesByAMonitoringPoint(t *testing.T) {
	w := newPlant(t, guard.Policy{Monitoring: []string{"mon0"}})
	if w == nil {
		return
	}
	w.Self().AddAddr("mon0", netip.MustParsePrefix("10.66.0.1/24"))
	witness := w.monitor.Watch("eth0")
	ours, control := witness.CountIf(netlab.ToPort(514)), witness.CountIf(netlab.ToPort(515))
	to := netip.AddrPortFrom(netlab.MonitorAddr().Addr(), 514)
	var refused *guard.RefusedError
	if _, err := w.guard.DialTCP(t.Context(), to); !errors.As(err, &refused) || refused.Role != guard.Monitoring || refused.Interface != "mon0" {
		t.Errorf("tcp: %v", err)
	}
	if _, err := w.guard.DialUDP(t.Context(), to); !errors.As(err, &refused) {
		t.Errorf("udp: %v", err)
	}
	w.send(w.Self(), to.Addr(), 515, "control")
	w.until("the witness sees frames", func() bool { return control() == 1 })
	if ours() != 0 {
		t.Errorf("%d frames left", ours())
	}
	c, err := w.guard.DialUDP(t.Context(), netip.AddrPortFrom(netlab.EndpointAddr().Addr(), 514))
	if err != nil {
		t.Fatal(err)
	}
	w.Self().Run("ip", "link", "set", "svc0", "down")
	w.Self().Run("ip", "link", "delete", "svc0")
	w.until("the socket is cut with its interface", func() bool {
		_, err := c.Write([]byte("x"))
		return errors.Is(err, net.ErrClosed)
	})
}

func TestRulesOnARealKernel(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	lab.Cable(netlab.End{In: lab.Self(), Name: "mon0", MAC: "02:6d:6f:6e:00:01"}, netlab.End{In: lab.Namespace("peer"), Name: "eth0"})
	lab.Self().Run("ip", "link", "property", "add", "dev", "mon0", "altname", "mirror-port-of-cell-7")
	for _, rule := range []string{"mon0", "mirror-port-of-cell-7", "mac:02:6D:6F:6E:00:01"} {
		g, err := newGuard(guard.Policy{Monitoring: []string{rule}})
		if err != nil {
			t.Errorf("%s: %v", rule, err)
			continue
		}
		if d := g.Snapshot().Decisions; len(d) != 2 || d[1].Role != guard.Monitoring {
			t.Errorf("%s: %+v", rule, d)
		}
	}
	_, err := newGuard(guard.Policy{Monitoring: []string{"eno7"}})
	if err == nil || !strings.Contains(err.Error(), "mon0 = mirror-port-of-cell-7 = mac:02:6d:6f:6e:00:01 (veth)") {
		t.Errorf("the error must list what exists: %v", err)
	}
}

// TestFloodOfEvents flips an interface 5000 times; the guard must end up
// knowing the truth.
func TestFloodOfEvents(t *testing.T) {
	w := newPlant(t, guard.Policy{Monitoring: []string{"mon0"}})
	if w == nil {
		return
	}
	cmd := w.Self().Command(t.Context(), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Repeat("link set svc0 alias a\nlink set svc0 alias b\n", 2500))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w.Self().Run("ip", "link", "add", "last0", "type", "bridge")
	w.until("the last change is seen", func() bool {
		return w.guard.Snapshot().State == guard.StateOK && w.role("last0") == "closed"
	})
	w.endpointArrives("after the flood")
}
