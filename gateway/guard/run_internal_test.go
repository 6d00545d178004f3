package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the guard until the test ends, and waits for it.
func start(t *testing.T, g *Guard) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRunSubscribesBeforeItLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(loopback(), ethernet(2, "eth0"))
		g := fakeGuard(t, k, Policy{})
		start(t, g)
		synctest.Wait()
		if got, want := k.takeCalls(), "list subscribe list"; got != want {
			t.Errorf("at start: %q, want %q", got, want)
		}
		k.overrun()
		synctest.Wait()
		if s := g.Snapshot(); s.State != StateUnknown+": interface events were lost" {
			t.Errorf("after an overrun the state is %q", s.State)
		}
		time.Sleep(overrunPause)
		synctest.Wait()
		if got, want := k.takeCalls(), "subscribe list"; got != want {
			t.Errorf("after an overrun: %q, want %q", got, want)
		}
		if s := g.Snapshot(); s.State != StateOK {
			t.Errorf("after the list the state is %q", s.State)
		}
		time.Sleep(resyncEvery)
		synctest.Wait()
		if got, want := k.takeCalls(), "list"; got != want {
			t.Errorf("after %s: %q, want %q", resyncEvery, got, want)
		}
		k.set(loopback())
		synctest.Wait()
		if got, want := k.takeCalls(), "list"; got != want {
			t.Errorf("after an event: %q, want %q", got, want)
		}
		if got, want := text(g.Snapshot()), "1 lo service: neither monitoring point nor diode interface\n"; got != want {
			t.Errorf("got %s want %s", got, want)
		}
	})
}

func TestUnknownStateIsRetriedWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(loopback())
		g := fakeGuard(t, k, Policy{})
		start(t, g)
		synctest.Wait()
		k.setFail(errFake)
		k.overrun()
		time.Sleep(time.Minute)
		synctest.Wait()
		if s := g.Snapshot(); s.State != StateUnknown+": interface events were lost" {
			t.Errorf("the state is %q although nothing can be read", s.State)
		}
		if _, err := g.DialUDP(t.Context(), netip.MustParseAddrPort("127.0.0.1:9")); !errors.Is(err, ErrUnknownState) {
			t.Errorf("dial: %v, want %v", err, ErrUnknownState)
		}
		k.setFail(nil)
		time.Sleep(backoffMost)
		synctest.Wait()
		if s := g.Snapshot(); s.State != StateOK {
			t.Errorf("the state is still %q", s.State)
		}
	})
}

func TestRunTwiceIsRefused(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	start(t, g)
	until(t, "Run is active", g.running.Load)
	if err := g.Run(t.Context()); err == nil {
		t.Error("a second Run must be refused")
	}
}

// freePort returns a port that nobody used a moment ago.
func freePort(t *testing.T) uint16 {
	t.Helper()
	ln, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	return uint16(ln.Addr().(*net.TCPAddr).Port)
}

func connect(t *testing.T, network string, port uint16) net.Conn {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), network, fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestListenTCPFollowsTheInterface uses the real loopback interface and a fake
// list of interfaces.
func TestListenTCPFollowsTheInterface(t *testing.T) {
	k := newFake(loopback())
	g := fakeGuard(t, k, Policy{NewInterfaces: NewService})
	start(t, g)
	port := freePort(t)
	conns := make(chan *net.TCPConn, 4)
	l, err := g.ListenTCP(t.Context(), port, func(c *net.TCPConn, iface string) {
		if iface != "lo" {
			t.Errorf("came by %q", iface)
		}
		conns <- c // returns at once: the guard must find it all the same
	})
	if err != nil {
		t.Fatal(err)
	}
	client := connect(t, "tcp", port)
	server := <-conns
	defer func() { _ = server.Close() }()
	if st := l.Stats(); len(st) != 2 || st[0].State != SocketListening || st[0].Accepted+st[1].Accepted != 1 || st[0].Barrier != "interface index" {
		t.Errorf("stats %+v", st)
	}
	k.set() // the interface is gone
	if _, err := client.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("client read: %v, want a reset", err)
	}
	until(t, "nothing is open", func() bool { return len(l.Stats()) == 0 })
	k.set(loopback())
	until(t, "listening again", func() bool { return len(l.Stats()) == 2 })
	connect(t, "tcp", port)
	_ = (<-conns).Close()
	if err := errors.Join(l.Close(), l.Close()); err != nil {
		t.Error(err)
	}
}

func TestUnknownStateHoldsConnections(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	port := freePort(t)
	conns := make(chan *net.TCPConn, 1)
	l, err := g.ListenTCP(t.Context(), port, func(c *net.TCPConn, _ string) { conns <- c })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	g.lose()
	client := connect(t, "tcp", port)
	if st := l.Stats(); st[0].State != SocketHeld {
		t.Errorf("state %q, want %q", st[0].State, SocketHeld)
	}
	select {
	case <-conns:
		t.Fatal("accepted while the state is unknown")
	default:
	}
	g.decide([]link{loopback()})
	_ = (<-conns).Close() // only now
	_ = client.Close()
}

func TestConnectionHeldWhileItsInterfaceIsLostIsReset(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	port := freePort(t)
	l, err := g.ListenTCP(t.Context(), port, func(c *net.TCPConn, _ string) {
		t.Error("handed over")
		_ = c.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	g.lose()
	client := connect(t, "tcp", port)
	g.decide(nil)
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the connection lives on")
	}
}

func TestCloseEndsHandlersThatStillRun(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	port := freePort(t)
	started := make(chan struct{})
	l, err := g.ListenTCP(t.Context(), port, func(c *net.TCPConn, _ string) {
		close(started)
		_, _ = io.Copy(io.Discard, c)
	})
	if err != nil {
		t.Fatal(err)
	}
	connect(t, "tcp", port)
	<-started
	if err := l.Close(); err != nil { // would hang if the handler were not told
		t.Error(err)
	}
}

func TestListenUDP(t *testing.T) {
	for _, b := range []barrier{byIndex, byAddress} {
		t.Run(b.String(), func(t *testing.T) { listenUDP(t, b) })
	}
}

func listenUDP(t *testing.T, b barrier) {
	t.Helper()
	lo := loopback()
	lo.addrs = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8")}
	k := newFake(lo)
	g, err := newGuard(Options{Policy: Policy{}, Log: quiet, TendNeighbours: true}, k, b, true)
	if err != nil {
		t.Fatal(err)
	}
	start(t, g)
	port, got := freePort(t), make(chan string, 4)
	l, err := g.ListenUDP(t.Context(), port, 1<<18, func(ctx context.Context, s *PacketSocket) {
		if s.ReceiveBuffer < 1<<18 || s.Interface != "lo" || s.Index != 1 {
			t.Errorf("socket %+v", s)
		}
		buf, control := make([]byte, 2048), make([]byte, 256)
		for s.Wait(ctx) == nil {
			n, oob, _, _, err := s.Conn.ReadMsgUDP(buf, control)
			if err != nil {
				return
			}
			if oob == 0 {
				t.Error("no control message came with the datagram")
			}
			got <- string(buf[:n])
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c := connect(t, "udp", port)
	if _, err := c.Write([]byte("one")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "one" {
		t.Errorf("got %q", s)
	}
	k.set()
	until(t, "closed", func() bool { return len(l.Stats()) == 0 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if b == byAddress && l.g.Snapshot().State != StateOK {
		t.Error("degraded is not unknown")
	}
}

func TestReaderThatEndsIsStartedAnew(t *testing.T) {
	k := newFake(loopback())
	g := fakeGuard(t, k, Policy{})
	start(t, g)
	starts := make(chan struct{}, 64)
	l, err := g.ListenUDP(t.Context(), freePort(t), 0, func(ctx context.Context, _ *PacketSocket) {
		starts <- struct{}{}
		if len(starts) > 2 {
			<-ctx.Done()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	until(t, "started again after the first two ended", func() bool { return len(starts) >= 3 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestListenRefusals(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	if _, err := g.ListenTCP(t.Context(), 0, nil); err == nil {
		t.Error("port 0 must be refused")
	}
	busy, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Close() }()
	port := uint16(busy.Addr().(*net.TCPAddr).Port)
	if _, err := g.ListenTCP(t.Context(), port, func(*net.TCPConn, string) {}); err == nil {
		t.Error("a port that another program holds on every interface must be an error")
	}
	if n := len(g.listeners); n != 0 {
		t.Errorf("%d listeners are left behind", n)
	}
}

func TestDialRefusesTheWrongWayOut(t *testing.T) {
	mon, tx := ethernet(3, "eth1"), ethernet(4, "eth2")
	k := newFake(loopback(), ethernet(2, "eth0"), mon, tx)
	g := fakeGuard(t, k, Policy{Monitoring: []string{"eth1"}, DiodeTX: []string{"eth2"}, Service: []string{"lo"}})
	for addr, index := range map[string]int{"10.0.0.1": 3, "10.0.0.2": 4, "10.0.0.3": 2, "10.0.0.4": 77} {
		k.routes[netip.MustParseAddr(addr)] = index
	}
	for addr, role := range map[string]Role{"10.0.0.1": Monitoring, "10.0.0.2": DiodeTX, "10.0.0.3": Closed, "10.0.0.4": Closed} {
		_, err := g.DialTCP(t.Context(), netip.AddrPortFrom(netip.MustParseAddr(addr), 514))
		var refused *RefusedError
		if !errors.As(err, &refused) || refused.Role != role || refused.Remedy == "" {
			t.Errorf("%s: got %v, want a refusal for role %s with a remedy", addr, err, role)
		}
	}
	if _, err := g.DialUDP(t.Context(), netip.MustParseAddrPort("10.9.9.9:1")); !errors.Is(err, errFake) {
		t.Errorf("no route: %v", err)
	}
	for _, bad := range []netip.AddrPort{{}, netip.MustParseAddrPort("0.0.0.0:1"), netip.MustParseAddrPort("127.0.0.1:0")} {
		if _, err := g.DialUDP(t.Context(), bad); err == nil {
			t.Errorf("%s must be refused", bad)
		}
	}
}

func TestDialIsCutWithItsInterface(t *testing.T) {
	k := newFake(loopback())
	k.routes[netip.MustParseAddr("127.0.0.1")] = 1
	g := fakeGuard(t, k, Policy{})
	c, err := g.DialUDP(t.Context(), netip.MustParseAddrPort("127.0.0.1:9"))
	if err != nil {
		t.Fatal(err)
	}
	g.decide([]link{loopback()})
	if isClosed(c) {
		t.Error("closed although nothing changed")
	}
	g.decide(nil)
	if !isClosed(c) {
		t.Error("open although its interface is gone")
	}
}

func TestDiodeOverLoopback(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{Service: []string{"lo"}, DiodeTX: []string{"lo"}, DiodeRX: []string{"lo"}})
	at := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))
	rx, err := g.DiodeReceive(t.Context(), "lo", at, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rx.Close() }()
	for _, source := range []string{"127.0.0.1", "127.0.0.1:0", ""} {
		tx, err := g.DiodeSend(t.Context(), "lo", source, at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Write([]byte("frame")); err != nil {
			t.Error(err)
		}
		buf := make([]byte, 16)
		if n, _, err := rx.ReadFromUDPAddrPort(buf); err != nil || string(buf[:n]) != "frame" {
			t.Errorf("got %q, %v", buf[:n], err)
		}
		_ = tx.Close()
	}
	var refused *RefusedError
	if _, err := g.DiodeSend(t.Context(), "eth9", "", at); !errors.As(err, &refused) {
		t.Errorf("unknown interface: %v", err)
	}
	if _, err := g.DiodeSend(t.Context(), "lo", "not an address", at); err == nil {
		t.Error("a bad source must be refused")
	}
	if _, err := g.DiodeReceive(t.Context(), "lo", netip.AddrPort{}, 0); err == nil {
		t.Error("a diode without an address must be refused")
	}
}

func TestLiveSetForgetsClosedConnections(t *testing.T) {
	s := newLiveSet()
	for range 10 * sweepAt {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		s.add(liveConn{conn: c})
		_ = c.Close()
	}
	if n := len(s.conns); n > sweepAt {
		t.Errorf("%d closed connections are remembered", n)
	}
}
