package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// pair is a TCP connection over loopback.
func pair(t *testing.T) (ours, endpoint *net.TCPConn) {
	t.Helper()
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() //nolint:errcheck // a test's
	a, ok := ln.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(ln.Addr())
	}
	endpoint, err = net.DialTCP("tcp", nil, a)
	if err != nil {
		t.Fatal(err)
	}
	ours, err = ln.AcceptTCP()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = endpoint.Close(); _ = ours.Close() })
	return ours, endpoint
}

func TestFileLimit(t *testing.T) {
	r := New(Grants{Component: "test.limit"}, nil, slog.New(slog.DiscardHandler))
	r.maxFile = 0
	ours, endpoint := pair(t)
	r.accept(ours, "lo")
	if _, err := endpoint.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("endpoint: %v", err)
	}
	if n := r.Stats().Refused[RefusedFileLimit]; n != 1 {
		t.Errorf("%d refused", n)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// However an address is written, it is compared as the prefix means it.
func TestAllowedAddresses(t *testing.T) {
	r := New(Grants{Component: "test.allow", AllowFrom: []netip.Prefix{
		netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("fe80::/10"),
	}}, nil, slog.New(slog.DiscardHandler))
	for address, want := range map[string]bool{
		"192.0.2.9":           true,
		"::ffff:192.0.2.9":    true,
		"198.51.100.1":        false,
		"::ffff:198.51.100.1": false,
		"192.0.3.9":           false,
		"2001:db8::9":         true,
		"2001:db9::9":         false,
		"fe80::9%eno1":        true,
		"::1":                 false,
	} {
		if got := r.allowed(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s: allowed %v, want %v", address, got, want)
		}
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestDropCountWrapsAround(t *testing.T) {
	r := New(Grants{Component: "test.drops"}, nil, slog.New(slog.DiscardHandler))
	d := &datagrams{relay: r, overflow: 1<<32 - 2}
	for _, total := range []uint32{1<<32 - 2, 1<<32 - 1, 3, 2 /* an older datagram's */, 3} {
		d.drops(total)
	}
	if n := r.Stats().KernelDrops; n != 5 {
		t.Errorf("%d drops", n)
	}
}

// FuzzAncillary: whatever stands in the control buffer, it is read within its bounds.
func FuzzAncillary(f *testing.F) {
	info := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 3})
	f.Add(info)
	f.Add(info[:len(info)-1])
	f.Add([]byte{})
	f.Add(make([]byte, controlBytes))
	r := New(Grants{Component: "test.fuzz"}, nil, slog.New(slog.DiscardHandler))
	d := &datagrams{relay: r, sock: &guard.PacketSocket{}}
	f.Fuzz(func(t *testing.T, b []byte) {
		if index, _ := d.ancillary(b); index < 0 {
			t.Errorf("index %d", index)
		}
	})
}

func TestAncillary(t *testing.T) {
	d := &datagrams{relay: New(Grants{Component: "test.info"}, nil, slog.New(slog.DiscardHandler))}
	b := append(unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: 3}), unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: 7})...)
	if index, at := d.ancillary(b[:len(b)/2]); index != 3 || at != 0 {
		t.Errorf("interface %d at %d", index, at)
	}
	if index, _ := d.ancillary(b); index != 7 {
		t.Errorf("interface %d", index)
	}
}

func TestStationHoldsTheNewest(t *testing.T) {
	var st station
	st.init()
	a, b := &session{ctx: t.Context()}, &session{ctx: t.Context()}
	st.set(a)
	_, held, err := st.wait(t.Context())
	if err != nil || held.Err() != nil {
		t.Fatal(err, held.Err())
	}
	st.set(a)
	if held.Err() != nil {
		t.Error("asking twice ends nothing")
	}
	st.set(b)
	if held.Err() == nil {
		t.Error("the old one's time has ended")
	}
	got, _, err := st.wait(t.Context())
	if got != b || err != nil {
		t.Error("not the newest")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	st.now = nil
	if _, _, err := st.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("err: %v", err)
	}
}
