package guard_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// span is a one-way link's cable between this process's namespace and a peer.
type span struct {
	*netlab.Lab
	t     *testing.T
	peer  *netlab.Namespace
	guard *guard.Guard
}

// newSpan lays the cable dio0 and gives the peer's end the addresses. It
// returns nil in the process that only starts the isolated one.
func newSpan(t *testing.T, ours, theirs []netip.Prefix) *span {
	t.Helper()
	lab := netlab.Isolate(t)
	if lab == nil {
		return nil
	}
	s := &span{Lab: lab, t: t, peer: lab.Namespace("peer")}
	s.cable(ours, theirs)
	return s
}

func (s *span) cable(ours, theirs []netip.Prefix) {
	s.t.Helper()
	s.Cable(netlab.End{In: s.Self(), Name: "dio0", MAC: "02:64:69:6f:00:01", Addrs: ours},
		netlab.End{In: s.peer, Name: "eth0", MAC: "02:64:69:6f:00:02", Addrs: theirs})
}

func (s *span) start(p guard.Policy) {
	s.t.Helper()
	var err error
	if s.guard, err = newGuard(p); err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.guard.Run(ctx) }()
	s.t.Cleanup(func() { stop(); report(s.t, <-done) })
}

func (s *span) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("still not after 10 s: %s; %+v", what, s.guard.Snapshot())
		}
	}
}

func prefixes(p ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range p {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// TestSendingEndOnARealKernel breaks everything that a sending end needs, one
// after the other.
func TestSendingEndOnARealKernel(t *testing.T) {
	s := newSpan(t, prefixes("10.99.0.1/24", "fd99::1/64"), nil)
	if s == nil {
		return
	}
	far4, far6 := netip.MustParseAddrPort("10.99.0.2:5760"), netip.MustParseAddrPort("[fd99::2]:5760")
	mac, err := net.ParseMAC("02:64:69:6f:00:02")
	if err != nil {
		t.Fatal(err)
	}
	s.start(guard.Policy{DiodeTX: []string{"dio0"}, SendEnds: []guard.SendEnd{
		{Interface: "dio0", Destination: far4, MAC: mac, MTU: 1500},
		{Interface: "dio0", Destination: far6, MAC: mac, MTU: 1500},
	}})
	both := func(want string) bool {
		for _, far := range []netip.AddrPort{far4, far6} {
			err := s.guard.DiodeReady("dio0", far)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				return false
			}
		}
		return true
	}
	table := func() string { return s.Self().Run("ip", "neighbour", "show", "dev", "dio0") }
	entries := func() bool { return strings.Count(table(), "lladdr 02:64:69:6f:00:02 PERMANENT") == 2 }
	whole := func(label string) {
		t.Helper()
		s.until(label+": ready", func() bool { return both("") })
		if !entries() {
			t.Fatalf("%s: %s", label, table())
		}
		s.arrives(far4)
	}
	whole("at first")
	s.Self().Run("ip", "link", "set", "dio0", "down")
	s.until("down", func() bool { return both("it is down") })
	s.Self().Run("ip", "link", "set", "dio0", "up")
	s.Self().Run("ip", "addr", "replace", "fd99::1/64", "dev", "dio0", "nodad")
	whole("down and up")
	s.Self().Run("ip", "neighbour", "delete", "10.99.0.2", "dev", "dio0")
	s.Self().Run("ip", "neighbour", "delete", "fd99::2", "dev", "dio0")
	s.until("deleted entries are made again", entries)
	s.Self().Run("ip", "neighbour", "replace", "10.99.0.2", "lladdr", "02:00:00:00:00:09", "dev", "dio0", "nud", "permanent")
	s.until("a wrong entry is made right", entries)
	s.peer.Run("ip", "link", "set", "eth0", "down")
	s.until("no carrier", func() bool { return both("no carrier") })
	s.peer.Run("ip", "link", "set", "eth0", "up")
	whole("carrier again")
	s.Self().Run("ip", "link", "set", "dio0", "mtu", "1400")
	s.until("mtu", func() bool { return both("its MTU of 1400 is below the link's mtu of 1500") })
	var notReady *guard.NotReadyError
	if _, err := s.guard.DiodeSend(t.Context(), "dio0", "10.99.0.1", far4); !errors.As(err, &notReady) {
		t.Errorf("with a small mtu: %v", err)
	}
	s.Self().Run("ip", "link", "set", "dio0", "mtu", "1500")
	whole("mtu again")
	s.Self().Run("ip", "link", "delete", "dio0")
	s.until("gone", func() bool { return both("matches 0 interfaces") })
}

// arrives sends one datagram over the link and waits for it at the peer.
func (s *span) arrives(far netip.AddrPort) {
	s.t.Helper()
	witness := s.peer.Watch("eth0")
	defer witness.Close()
	seen := witness.CountIf(netlab.ToPort(far.Port()))
	c, err := s.guard.DiodeSend(s.t.Context(), "dio0", "10.99.0.1", far)
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := c.Write([]byte("shard")); err != nil {
		s.t.Fatal(err)
	}
	s.until("the datagram is on the wire", func() bool { return seen() == 1 })
	report(s.t, c.Close())
}

// TestCaptureOnARealKernel: an interface without an address takes what is
// ours, nothing else, and only as long as it may.
func TestCaptureOnARealKernel(t *testing.T) {
	near := prefixes("10.99.0.1/24")
	s := newSpan(t, nil, near)
	if s == nil {
		return
	}
	s.start(guard.Policy{DiodeRX: []string{"dio0"}})
	listen, source := netip.MustParseAddrPort("10.99.0.2:5760"), netip.MustParseAddr("10.99.0.1")
	open := func() *os.File {
		t.Helper()
		f, err := s.guard.DiodeCapture(t.Context(), "dio0", source, listen)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	f := open()
	s.peer.StaticNeighbour("eth0", listen.Addr(), "02:64:69:6f:00:01")
	s.peer.StaticNeighbour("eth0", netip.MustParseAddr("10.99.0.3"), "02:64:69:6f:00:01")
	send := func(to, text string) {
		t.Helper()
		err := s.peer.Do(func() error {
			c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
			if err != nil {
				return err
			}
			_, err = c.Write([]byte(text))
			return errors.Join(err, c.Close())
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	read := func() string {
		t.Helper()
		buf := make([]byte, 2048)
		if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := f.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[14+20+8 : n])
	}
	send("10.99.0.2:5761", "another port")
	send("10.99.0.3:5760", "another address")
	send("10.99.0.2:5760", "ours")
	if got := strings.TrimRight(read(), "\x00"); got != "ours" {
		t.Errorf("%q came first", got)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	report(t, raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0) }))
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("the filter can be taken off: %v", err)
	}
	s.Self().Run("ip", "link", "delete", "dio0")
	if _, err := f.Read(make([]byte, 2048)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("the interface is gone, and reading goes on: %v", err)
	}
	s.cable(nil, near)
	s.peer.StaticNeighbour("eth0", listen.Addr(), "02:64:69:6f:00:01")
	s.until("it is back", func() bool {
		again, err := s.guard.DiodeCapture(t.Context(), "dio0", source, listen)
		f = again
		return err == nil
	})
	send("10.99.0.2:5760", "again")
	if got := strings.TrimRight(read(), "\x00"); got != "again" {
		t.Errorf("%q after it came back", got)
	}
	report(t, f.Close())
	var refused *guard.RefusedError
	if _, err := s.guard.DiodeCapture(t.Context(), "lo", source, listen); !errors.As(err, &refused) {
		t.Errorf("on an interface that is no diode's: %v", err)
	}
}
