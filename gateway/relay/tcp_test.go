package relay_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// open makes a connection through the relay and returns both ends.
func open(tb testing.TB, p *peer, to netip.AddrPort) (endpoint *net.TCPConn, plugin *net.UnixConn) {
	tb.Helper()
	endpoint = dial(tb, to)
	plugin, c := p.accept()
	if c.GetRemote() != endpoint.LocalAddr().String() || c.GetLocal() != to.String() || c.GetInterface() != "lo" {
		tb.Errorf("connection %v", c)
	}
	return endpoint, plugin
}

// relayed waits until bytes move: a plugin has its end a moment before, and one that goes in between leaves the
// connection to the next instance.
func relayed(tb testing.TB, from *net.TCPConn, to *net.UnixConn) {
	tb.Helper()
	write(tb, from, "x")
	if _, err := io.ReadFull(to, make([]byte, 1)); err != nil {
		tb.Fatal(err)
	}
}

func tcpRig(tb testing.TB, g relay.Grants) (*rig, *peer, netip.AddrPort) {
	tb.Helper()
	g.Network = "tcp"
	r := newRig(tb, g)
	p := r.attach(tb)
	p.listen("tcp")
	return r, p, await(tb, "listener", r.sockets.tcp)
}

func TestBytesBothWays(t *testing.T) {
	r, p, to := tcpRig(t, relay.Grants{})
	endpoint, plugin := open(t, p, to)
	const size = 4<<20 + 17
	in, out := make([]byte, size), make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(in)
	_, _ = rng.Read(out)
	var gotIn, gotOut []byte
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = endpoint.Write(in); _ = endpoint.CloseWrite() })
	wg.Go(func() { _, _ = plugin.Write(out); _ = plugin.CloseWrite() })
	wg.Go(func() { gotIn, _ = io.ReadAll(plugin) })
	wg.Go(func() { gotOut, _ = io.ReadAll(endpoint) })
	wg.Wait()
	if !bytes.Equal(in, gotIn) || !bytes.Equal(out, gotOut) {
		t.Errorf("in %d of %d, out %d of %d", len(gotIn), size, len(gotOut), size)
	}
	waitFor(t, "closed", func() bool { return r.Stats().Open == 0 })
	if st := r.Stats(); st.BytesIn != size || st.BytesOut != size || st.Accepted != 1 {
		t.Errorf("%+v", st)
	}
	if h := p.die(); h.Connections != 1 || h.err == nil {
		t.Errorf("handed %+v", h)
	}
}

// TestEnds: what one side does to a connection is what the other sees.
func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, endpoint *net.TCPConn, plugin *net.UnixConn)
	}{
		{"endpoint half-closes, plugin answers", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			write(t, e, "question")
			_ = e.CloseWrite()
			expect(t, p, "question")
			write(t, p, "answer")
			_ = p.Close()
			expect(t, e, "answer")
		}},
		{"plugin half-closes, endpoint goes on", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			write(t, p, "bye")
			_ = p.CloseWrite()
			expect(t, e, "bye")
			write(t, e, "more")
			_ = e.CloseWrite()
			expect(t, p, "more")
		}},
		{"plugin closes: endpoint sees the end", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			_ = p.Close()
			expect(t, e, "")
		}},
		{"plugin half-closes, later closes", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			_ = p.CloseWrite()
			expect(t, e, "")
			_ = p.Close()
		}},
		{"plugin writes and closes while the endpoint writes", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			write(t, p, "error: go away")
			_ = p.Close()
			buf := make([]byte, 14)
			if _, err := io.ReadFull(e, buf); err != nil || string(buf) != "error: go away" {
				t.Errorf("%q, %v", buf, err)
			}
			_, _ = e.Write([]byte("more"))
		}},
		{"plugin closes with unread data: endpoint is reset", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			write(t, e, "unread")
			one := make([]byte, 1)
			if _, err := io.ReadFull(p, one); err != nil {
				t.Fatal(err)
			}
			_ = p.Close()
			if _, err := e.Read(one); !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("endpoint: %v", err)
			}
		}},
		{"endpoint resets: plugin sees the end", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			_ = e.SetLinger(0)
			_ = e.Close()
			expect(t, p, "")
			if _, err := p.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("plugin: %v", err)
			}
		}},
		{"endpoint half-closes, then resets", func(t *testing.T, e *net.TCPConn, p *net.UnixConn) {
			t.Helper()
			_ = e.CloseWrite()
			expect(t, p, "")
			_ = e.SetLinger(0)
			_ = e.Close()
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, p, to := tcpRig(t, relay.Grants{})
			endpoint, plugin := open(t, p, to)
			c.do(t, endpoint, plugin)
			waitFor(t, "closed", func() bool { return r.Stats().Open == 0 })
		})
	}
}

func write(tb testing.TB, w io.Writer, s string) {
	tb.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		tb.Fatal(err)
	}
}

// expect reads to the end.
func expect(tb testing.TB, r io.Reader, want string) {
	tb.Helper()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		tb.Errorf("got %q, %v, want %q", got, err, want)
	}
}

func refusedOf(tb testing.TB, c *net.TCPConn) {
	tb.Helper()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		tb.Errorf("endpoint: %v, want a reset", err)
	}
}

// dialRefused connects and is reset, at once or a moment later.
func dialRefused(tb testing.TB, to netip.AddrPort) {
	tb.Helper()
	c, err := net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(to))
	if errors.Is(err, syscall.ECONNRESET) {
		return
	}
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // a test's
	refusedOf(tb, c)
}

func TestAllowFrom(t *testing.T) {
	r, p, to := tcpRig(t, relay.Grants{AllowFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	dialRefused(t, to)
	waitFor(t, "count", func() bool { return r.Stats().Refused[relay.RefusedAllowFrom] == 1 })
	if h := p.die(); h.Connections != 0 {
		t.Errorf("handed %+v", h)
	}
	if !strings.Contains(r.log.String(), "reason=allow_from") {
		t.Error(r.log.String())
	}
}

func TestMaxConnections(t *testing.T) {
	r, p, to := tcpRig(t, relay.Grants{MaxConnections: 1})
	first, _ := open(t, p, to)
	dialRefused(t, to)
	if n := r.Stats().Refused[relay.RefusedMaxConnections]; n != 1 {
		t.Errorf("%d refused", n)
	}
	_ = first.SetLinger(0)
	_ = first.Close()
	waitFor(t, "closed", func() bool { return r.Stats().Open == 0 })
	open(t, p, to)
}

// TestBusyPlugin: one that does not read its control socket is refused connections, and accepting goes on.
func TestBusyPlugin(t *testing.T) {
	r, _, to := tcpRig(t, relay.Grants{})
	var conns []*net.TCPConn
	waitFor(t, "busy", func() bool {
		conns = append(conns, dial(t, to))
		return r.Stats().Refused[relay.RefusedPluginBusy] > 0
	})
	waitFor(t, "all counted", func() bool { return r.Stats().Accepted == uint64(len(conns)) })
}

// TestPluginRestart: the port stays open, and connections wait for the next instance untouched.
func TestPluginRestart(t *testing.T) {
	r, p, to := tcpRig(t, relay.Grants{})
	old, plugin := open(t, p, to)
	relayed(t, old, plugin)
	_ = plugin.Close() // with its process
	p.die()
	expect(t, old, "")
	waiting := dial(t, to)
	write(t, waiting, "hello")
	_ = waiting.CloseWrite()
	waitFor(t, "waiting", func() bool { return r.Stats().Open == 1 })
	p = r.attach(t)
	p.listen("tcp")
	plugin, _ = p.accept()
	expect(t, plugin, "hello")
}

// TestServeEnds: what a plugin wrote before it ended still arrives; what nobody reads is cut.
func TestServeEnds(t *testing.T) {
	_, p, to := tcpRig(t, relay.Grants{})
	endpoint, plugin := open(t, p, to)
	stuck, theirs := open(t, p, to)
	relayed(t, endpoint, plugin)
	relayed(t, stuck, theirs)
	write(t, plugin, "last words")
	_ = plugin.Close()
	p.stop()
	h := await(t, "serve", p.over)
	if h.err != nil || h.Connections != 2 {
		t.Errorf("%+v", h)
	}
	expect(t, endpoint, "last words")
	refusedOf(t, stuck)
	_ = theirs.Close()
}

func TestCloseRefusesWhatWaits(t *testing.T) {
	r, p, to := tcpRig(t, relay.Grants{})
	p.die()
	c := dial(t, to)
	waitFor(t, "waiting", func() bool { return r.Stats().Open == 1 })
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Error(err)
	}
	refusedOf(t, c)
	late := r.attach(t)
	if h := await(t, "serve", late.over); !errors.Is(h.err, relay.ErrClosed) {
		t.Errorf("%+v", h)
	}
}

func TestDialTCP(t *testing.T) {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test's
	target := addrOf(ln.Addr())
	closed, guarded := netip.MustParseAddrPort("127.0.0.1:9"), netip.MustParseAddrPort("127.0.0.1:1")
	r := newRig(t, relay.Grants{Connect: []netip.AddrPort{target, closed, guarded}})
	p := r.attach(t)
	e, f := p.ask(dialTo("tcp", target.String()))
	if e != nil {
		t.Fatal(e)
	}
	plugin := stream(t, f)
	far, err := ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close() //nolint:errcheck // a test's
	write(t, plugin, "to the collector")
	_ = plugin.CloseWrite()
	expect(t, far, "to the collector")
	write(t, far, "ack")
	_ = far.CloseWrite()
	expect(t, plugin, "ack")

	if e, _ := p.ask(dialTo("tcp", closed.String())); e.GetCode() != string(sdk.CodeUnavailable) || !e.GetRetryable() {
		t.Errorf("closed port: %v", e)
	}
	if e, _ := p.ask(dialTo("tcp", guarded.String())); e.GetCode() != string(sdk.CodeRefused) || e.GetRetryable() {
		t.Errorf("refused by the guard: %v", e)
	}
}

// TestDialsCountAsConnections: what a plugin dials takes a place as long as it is open; an attempt that failed takes none.
func TestDialsCountAsConnections(t *testing.T) {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test's
	target, guarded := addrOf(ln.Addr()), netip.MustParseAddrPort("127.0.0.1:1")
	r := newRig(t, relay.Grants{Connect: []netip.AddrPort{target, guarded}, MaxConnections: 1})
	p := r.attach(t)
	for range 3 {
		if e, _ := p.ask(dialTo("tcp", guarded.String())); e.GetCode() != string(sdk.CodeRefused) {
			t.Fatalf("refused by the guard: %v", e)
		}
	}
	e, f := p.ask(dialTo("tcp", target.String()))
	if e != nil {
		t.Fatal(e)
	}
	plugin := stream(t, f)
	e, f = p.ask(dialTo("tcp", target.String()))
	if e.GetCode() != string(sdk.CodeUnavailable) || !e.GetRetryable() || f != nil {
		t.Errorf("beyond the limit: %v", e)
	}
	if n := r.Stats().Refused[relay.RefusedMaxConnections]; n != 1 {
		t.Errorf("%d refused", n)
	}
	_ = plugin.Close()
	waitFor(t, "closed", func() bool { return r.Stats().Open == 0 })
	if e, f = p.ask(dialTo("tcp", target.String())); e != nil {
		t.Fatalf("after it was closed: %v", e)
	}
	stream(t, f)
}

// TestBeyondTheGrants: every request that the block does not allow is refused, counted by what it asked for and logged.
func TestBeyondTheGrants(t *testing.T) {
	target := "192.0.2.1:20001"
	r := newRig(t, relay.Grants{Network: "udp", Connect: []netip.AddrPort{netip.MustParseAddrPort(target)}})
	p := r.attach(t)
	for what, m := range map[string]*proto.Control{
		"listen tcp":                listenOn("tcp"),
		"listen ":                   listenOn(""),
		"dial tcp 192.0.2.1:502":    dialTo("tcp", "192.0.2.1:502"),
		"dial udp 192.0.2.2:20001":  dialTo("udp", "192.0.2.2:20001"),
		"dial sctp 192.0.2.1:20001": dialTo("sctp", target),
		"dial tcp plc:502":          dialTo("tcp", "plc:502"),
	} {
		e, f := p.ask(m)
		if e.GetCode() != string(sdk.CodeRefused) || f != nil {
			t.Errorf("%s: %v", what, e)
		}
		if n := r.Stats().Refused[what]; n != 1 {
			t.Errorf("%s: counted %d times", what, n)
		}
		if !strings.Contains(r.log.String(), what) {
			t.Errorf("%s: not logged", what)
		}
	}
}

// TestHostileRequests: invented targets do not grow memory, and the relay goes on.
func TestHostileRequests(t *testing.T) {
	r := newRig(t, relay.Grants{})
	p := r.attach(t)
	long := strings.Repeat("x", 2000)
	for i := range 300 {
		if e, _ := p.ask(dialTo("tcp", long[:i]+":1")); e.GetCode() != string(sdk.CodeRefused) {
			t.Fatalf("%v", e)
		}
	}
	st := r.Stats()
	total := uint64(0)
	for what, n := range st.Refused {
		total += n
		if len(what) > 600 {
			t.Errorf("reason of %d bytes", len(what))
		}
	}
	if total != 300 || len(st.Refused) > 65 {
		t.Errorf("%d refused under %d reasons", total, len(st.Refused))
	}
}
