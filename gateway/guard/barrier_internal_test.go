package guard

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
)

// TestSocketOnAnotherInterfaceIsRefused: the list says one thing and the kernel
// another when an interface changed in between. Here that is the real loopback
// interface, listed under a wrong name or index.
func TestSocketOnAnotherInterfaceIsRefused(t *testing.T) {
	renamed, moved := loopback(), loopback()
	renamed.name, moved.index = "eth0", 4711
	for _, c := range []struct {
		barrier barrier
		listed  link
	}{{byIndex, renamed}, {byDevice, moved}} {
		t.Run(c.barrier.String(), func(t *testing.T) { refusesToTie(t, c.barrier, c.listed) })
	}
}

func refusesToTie(t *testing.T, b barrier, listed link) {
	t.Helper()
	k, to := newFake(listed), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))
	k.routes[to.Addr()] = listed.index
	g, err := newGuard(Options{Policy: Policy{}, Log: quiet, TendNeighbours: true}, k, b, false)
	if err != nil {
		t.Fatal(err)
	}
	for what, open := range map[string]func() error{
		"listen tcp": func() error {
			_, err := g.ListenTCP(t.Context(), to.Port(), func(*net.TCPConn, string) {})
			return err
		},
		"listen udp": func() error {
			_, err := g.ListenUDP(t.Context(), to.Port(), 0, func(ctx context.Context, _ *PacketSocket) { <-ctx.Done() })
			return err
		},
		"dial udp": func() error { _, err := g.DialUDP(t.Context(), to); return err },
	} {
		if err := open(); err == nil || !strings.Contains(err.Error(), "it changed in between") {
			t.Errorf("%s: %v, want a refusal", what, err)
		}
	}
}

// turncoat is a kernel during whose answers the interfaces change.
type turncoat struct {
	*fakeKernel
	during func()
}

func (k turncoat) Route(dst netip.Addr) (int, error) {
	k.during()
	return k.fakeKernel.Route(dst)
}

// TestRoleThatChangesWhileASocketIsOpened: what was allowed when it began is
// judged again when the socket is there.
func TestRoleThatChangesWhileASocketIsOpened(t *testing.T) {
	to := netip.MustParseAddrPort("127.0.0.1:9")
	k := turncoat{fakeKernel: newFake(loopback())}
	k.routes[to.Addr()] = 1
	var g *Guard
	k.during = func() { g.decide(nil) }
	g, err := newGuard(Options{Policy: Policy{}, Log: quiet, TendNeighbours: true}, &k, byIndex, false)
	if err != nil {
		t.Fatal(err)
	}
	var refused *RefusedError
	if c, err := g.DialUDP(t.Context(), to); !errors.As(err, &refused) {
		t.Errorf("%v, %v: want a refusal", c, err)
	}
}

// TestConnectionOfAnotherInterfaceIsNotAdmitted: a connection that was accepted
// by a socket whose interface has gone meanwhile.
func TestConnectionOfAnotherInterfaceIsNotAdmitted(t *testing.T) {
	g := fakeGuard(t, newFake(loopback()), Policy{})
	ln, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = ln.Close() }()
	lo := loopback()
	gone := lo
	gone.kind = "dummy"
	for _, listed := range []link{lo, gone} {
		connect(t, "tcp", uint16(ln.Addr().(*net.TCPAddr).Port))
		c, err := ln.AcceptTCP()
		if err != nil {
			t.Fatal(err)
		}
		s := &tcpSocket{l: &Listeners{g: g}, slot: slot{index: 1, id: listed.identity()}, ctx: t.Context(), conns: map[*net.TCPConn]struct{}{}}
		if got, want := s.admit(c), listed.kind == lo.kind; got != want {
			t.Errorf("%s: admitted %v, want %v", listed.kind, got, want)
		}
		_ = c.Close()
	}
}

func TestUnknownStateHoldsDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := fakeGuard(t, newFake(loopback()), Policy{})
		s, read := PacketSocket{g: g}, make(chan error, 1)
		if err := s.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		g.lose()
		go func() { read <- s.Wait(t.Context()) }()
		synctest.Wait()
		select {
		case err := <-read:
			t.Fatalf("reading goes on while the state is unknown (%v)", err)
		default:
		}
		g.decide([]link{loopback()})
		if err := <-read; err != nil {
			t.Error(err)
		}
	})
}

// TestNothingStaysOpenWhenTheStateCannotBeRead: accepting is held at once, and
// the sockets are closed when reading the interfaces again did not help.
func TestNothingStaysOpenWhenTheStateCannotBeRead(t *testing.T) {
	k := newFake(loopback())
	g := fakeGuard(t, k, Policy{})
	start(t, g)
	l, err := g.ListenTCP(t.Context(), freePort(t), func(c *net.TCPConn, _ string) { _ = c.Close() })
	if err != nil {
		t.Fatal(err)
	}
	until(t, "following", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.events != nil
	})
	k.setFail(errFake)
	k.overrun()
	until(t, "closed", func() bool { return len(l.Stats()) == 0 })
	k.setFail(nil)
	until(t, "listening again", func() bool { return len(l.Stats()) > 0 })
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// TestAnotherInterfaceOfTheSameIndex: what was opened on one interface does not
// live on because another one, which may be used as well, got its index.
func TestAnotherInterfaceOfTheSameIndex(t *testing.T) {
	k, to := newFake(loopback()), netip.MustParseAddrPort("127.0.0.1:9")
	k.routes[to.Addr()] = 1
	g := fakeGuard(t, k, Policy{NewInterfaces: NewService})
	c, err := g.DialUDP(t.Context(), to)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	g.decide([]link{loopback()})
	if isClosed(c) {
		t.Error("closed although nothing has changed")
	}
	other := loopback()
	other.kind = "dummy"
	g.decide([]link{other})
	if role := g.Snapshot().Decisions[0].Role; role != Service {
		t.Fatalf("the other one is %s: nothing to test", role)
	}
	if !isClosed(c) {
		t.Error("a socket lives on, on another interface")
	}
}
