package relay_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

const deadline = 20 * time.Second // for what takes milliseconds on a quiet machine

// loopback is a Sockets on 127.0.0.1, which no guard watches. Port 0 is allowed; address tells which it became.
type loopback struct {
	tcp, udp chan netip.AddrPort
	index    int  // of the interface that datagrams must come by
	ipv6     bool // ::1 instead
}

func newLoopback() *loopback {
	return &loopback{tcp: make(chan netip.AddrPort, 1), udp: make(chan netip.AddrPort, 1)}
}

type closer struct {
	stop context.CancelFunc
	c    io.Closer
	wg   sync.WaitGroup
}

func (c *closer) Close() error {
	c.stop()
	err := c.c.Close()
	c.wg.Wait()
	return err
}

func (l *loopback) ip() net.IP {
	if l.ipv6 {
		return net.IPv6loopback
	}
	return net.IPv4(127, 0, 0, 1)
}

func (l *loopback) ListenTCP(ctx context.Context, _ uint16, onConn func(*net.TCPConn, string)) (io.Closer, error) {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: l.ip()})
	if err != nil {
		return nil, err
	}
	_, stop := context.WithCancel(ctx)
	c := &closer{c: ln, stop: stop}
	c.wg.Go(func() {
		for {
			conn, err := ln.AcceptTCP()
			if err != nil {
				return
			}
			c.wg.Go(func() { onConn(conn, "lo") })
		}
	})
	l.tcp <- addrOf(ln.Addr())
	return c, nil
}

func (l *loopback) ListenUDP(ctx context.Context, _ uint16, rcvbuf int, onSocket func(context.Context, *guard.PacketSocket)) (io.Closer, error) {
	network := "udp4"
	if l.ipv6 {
		network = "udp6"
	}
	conn, err := net.ListenUDP(network, &net.UDPAddr{IP: l.ip()})
	if err != nil {
		return nil, err
	}
	if err := options(conn, rcvbuf, l.ipv6); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	c := &closer{c: conn, stop: stop}
	c.wg.Go(func() {
		onSocket(ctx, &guard.PacketSocket{Conn: conn, Interface: "lo", Index: l.index, ReceiveBuffer: rcvbuf})
	})
	l.udp <- addrOf(conn.LocalAddr())
	return c, nil
}

// options sets what the guard sets.
func options(conn *net.UDPConn, rcvbuf int, ipv6 bool) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var errs []error
	level, pktinfo := unix.IPPROTO_IP, unix.IP_PKTINFO
	if ipv6 {
		level, pktinfo = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	err = raw.Control(func(fd uintptr) {
		errs = append(errs,
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(int(fd), level, pktinfo, 1))
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, rcvbuf) != nil {
			errs = append(errs, unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, rcvbuf))
		}
	})
	return errors.Join(append(errs, err)...)
}

func (l *loopback) DialTCP(ctx context.Context, a netip.AddrPort) (*net.TCPConn, error) {
	if a.Port() == 1 {
		return nil, &guard.RefusedError{Interface: "eno4", Role: guard.Monitoring, Reason: "declared", Remedy: "none"}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", a.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

func (l *loopback) DialUDP(_ context.Context, a netip.AddrPort) (*net.UDPConn, error) {
	return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(a))
}

func addrOf(a net.Addr) netip.AddrPort { return netip.MustParseAddrPort(a.String()) }

// rig is a relay with an instance of a plugin that the test plays by hand.
type rig struct {
	*relay.Relay
	sockets *loopback
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newRig(tb testing.TB, g relay.Grants) *rig {
	tb.Helper()
	r := &rig{sockets: newLoopback(), log: &lockedBuffer{}}
	if g.Component == "" {
		g.Component = "test.relay"
	}
	if g.Port == 0 && g.Network != "" {
		g.Port = 5514
	}
	r.Relay = relay.New(g, r.sockets, slog.New(slog.NewTextHandler(r.log, nil)))
	tb.Cleanup(func() {
		if err := r.Close(); err != nil {
			tb.Error(err)
		}
	})
	return r
}

// peer is the plugin's end of a control socket.
type peer struct {
	t    testing.TB
	sock *control.Socket
	id   uint64
	over chan served
	stop context.CancelFunc
	ctl  *control.Socket // the core's end
}

type served struct {
	relay.Handed
	err error
}

// attach starts Serve for a new instance.
func (r *rig) attach(tb testing.TB) *peer {
	tb.Helper()
	ours, theirs, err := control.Pair()
	if err != nil {
		tb.Fatal(err)
	}
	sock, err := control.Open(theirs)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	p := &peer{t: tb, sock: sock, over: make(chan served, 1), stop: stop, ctl: ours}
	go func() {
		h, err := r.Serve(ctx, ours)
		p.over <- served{h, err}
	}()
	tb.Cleanup(func() { stop(); _ = sock.Close() })
	return p
}

// ask sends a request and returns its result, keeping nothing else that comes.
func (p *peer) ask(m *proto.Control) (*proto.Error, *os.File) {
	p.t.Helper()
	p.id++
	m.Id = p.id
	if err := p.sock.Send(m, nil, deadline); err != nil {
		p.t.Fatal(err)
	}
	for {
		got, f := p.next()
		if res := got.GetResult(); res != nil && got.GetId() == p.id {
			return res.GetError(), f
		}
		if f != nil {
			_ = f.Close()
		}
	}
}

func (p *peer) next() (*proto.Control, *os.File) {
	p.t.Helper()
	type got struct {
		m   *proto.Control
		f   *os.File
		err error
	}
	ch := make(chan got, 1)
	go func() {
		m, f, err := p.sock.Receive()
		ch <- got{m, f, err}
	}()
	select {
	case g := <-ch:
		if g.err != nil {
			p.t.Fatal(g.err)
		}
		return g.m, g.f
	case <-time.After(deadline):
		_ = p.sock.Close()
		<-ch
		p.t.Fatal("nothing on the control socket")
		return nil, nil
	}
}

func (p *peer) listen(network string) {
	p.t.Helper()
	if e, _ := p.ask(listenOn(network)); e != nil {
		p.t.Fatalf("listen %s: %v", network, e)
	}
}

func listenOn(network string) *proto.Control {
	return &proto.Control{Kind: &proto.Control_Listen{Listen: &proto.Listen{Network: network}}}
}

func dialTo(network, address string) *proto.Control {
	return &proto.Control{Kind: &proto.Control_Dial{Dial: &proto.Dial{Network: network, Address: address}}}
}

// accept takes the next connection that is handed over.
func (p *peer) accept() (*net.UnixConn, *proto.Connection) {
	p.t.Helper()
	m, f := p.next()
	if m.GetConnection() == nil || f == nil {
		p.t.Fatalf("not a connection: %v", m)
	}
	return stream(p.t, f), m.GetConnection()
}

func (p *peer) feed() (*net.UnixConn, *proto.Feed) {
	p.t.Helper()
	m, f := p.next()
	if m.GetFeed() == nil || f == nil {
		p.t.Fatalf("not a feed: %v", m)
	}
	return stream(p.t, f), m.GetFeed()
}

// die closes all that the instance has on its control socket.
func (p *peer) die() served {
	p.t.Helper()
	_ = p.sock.Close()
	return await(p.t, "serve", p.over)
}

func stream(tb testing.TB, f *os.File) *net.UnixConn {
	tb.Helper()
	c, err := control.Stream(f)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		tb.Fatal(err)
	}
	return c
}

func dial(tb testing.TB, to netip.AddrPort) *net.TCPConn {
	tb.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(deadline)); err != nil {
		tb.Fatal(err)
	}
	return c
}

func await[T any](tb testing.TB, what string, ch <-chan T) T {
	tb.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(deadline):
		tb.Fatalf("%s: not within %s", what, deadline)
		panic("unreachable")
	}
}

func waitFor(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	end := time.After(deadline)
	for !ok() {
		select {
		case <-tick.C:
		case <-end:
			tb.Fatalf("%s: not within %s", what, deadline)
		}
	}
}
