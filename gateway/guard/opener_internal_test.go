package guard

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

// fakeOpener notes what it is asked for.
type fakeOpener struct {
	calls  []string
	refuse error
}

func (o *fakeOpener) Packet(_ context.Context, q PacketQuery) (*os.File, error) {
	o.calls = append(o.calls, "packet "+q.Name+" "+q.Listen.String())
	return nil, o.refuse
}

func (o *fakeOpener) Look(_ context.Context, _ int, name string) (*os.File, error) {
	o.calls = append(o.calls, "look "+name)
	return nil, o.refuse
}

func (o *fakeOpener) ForceBuffer(_ context.Context, conn syscall.Conn, bytes int) error {
	o.calls = append(o.calls, "buffer")
	if o.refuse != nil {
		return o.refuse
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	_, err = growReceiveBuffer(raw, bytes/2) // as much as one may have here
	return err
}

// TestPrivilegesAreBorrowed: with an opener this process asks for what takes a
// privilege, and lives with a refusal where it can.
func TestPrivilegesAreBorrowed(t *testing.T) {
	o := &fakeOpener{refuse: errFake}
	k := newFake(loopback(), ethernet(2, "eth0"), ethernet(3, "eth1"))
	g, err := newGuard(Options{Policy: Policy{DiodeRX: []string{"eth1", "lo"}}, Log: quiet, Opener: o}, k, byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	listen := netip.MustParseAddrPort("10.99.0.2:5760")
	if _, err := g.DiodeCapture(t.Context(), "eth1", netip.Addr{}, listen); !errors.Is(err, errFake) {
		t.Errorf("capture: %v", err)
	}
	var refused *RefusedError
	if _, err := g.DiodeCapture(t.Context(), "eth0", netip.Addr{}, listen); !errors.As(err, &refused) {
		t.Errorf("capture on a service interface: %v", err)
	}
	if _, err := g.CheckMirror(t.Context(), "eth0"); !errors.Is(err, errFake) {
		t.Errorf("mirror check: %v", err)
	}
	if got, want := strings.Join(o.calls, ", "), "packet eth1 10.99.0.2:5760, look eth0"; got != want {
		t.Errorf("asked for %q, want %q", got, want)
	}
}

// TestBufferIsForcedByTheOpener when the kernel grants less than was asked for.
func TestBufferIsForcedByTheOpener(t *testing.T) {
	const more = 1 << 30 // bytes; SO_RCVBUFFORCE knows no such limit, SO_RCVBUF does
	for _, c := range []struct {
		name   string
		refuse error
	}{{"granted", nil}, {"refused", errFake}} {
		t.Run(c.name, func(t *testing.T) {
			o := &fakeOpener{refuse: c.refuse}
			g, err := newGuard(Options{Policy: Policy{DiodeRX: []string{"lo"}}, Log: quiet, Opener: o}, newFake(loopback()), byIndex, true)
			if err != nil {
				t.Fatal(err)
			}
			s := slot{1, loopback().identity(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), freePort(t))}
			conn, granted, err := g.packetConn(t.Context(), "udp4", s, more)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if granted < more && strings.Join(o.calls, " ") != "buffer" {
				t.Errorf("%d bytes were granted, and nobody was asked for more", granted)
			}
		})
	}
}

// TestNeighboursAreOnlyLookedAt by a process that may not make them.
func TestNeighboursAreOnlyLookedAt(t *testing.T) {
	k := newFake(ethernet(2, "eno2"))
	g, err := newGuard(Options{Policy: sendPolicy(farMAC(), 1500), Log: quiet}, k, byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	missing, ok := errors.AsType[*NotReadyError](g.DiodeReady("eno2", farEnd))
	if !ok || !missing.Passes || !strings.Contains(missing.Error(), "10.99.0.2 is at no known address, not permanently at 02:00:5e:10:00:02") {
		t.Errorf("no entry: %v", missing)
	}
	key := tableKey{2, farEnd.Addr()}
	k.table[key] = neighbour{"02:00:00:00:00:aa", true}
	g.lookAfterEnds()
	if err := g.DiodeReady("eno2", farEnd); err == nil || !strings.Contains(err.Error(), "is at 02:00:00:00:00:aa, not permanently at") {
		t.Errorf("a wrong entry: %v", err)
	}
	k.table[key] = neighbour{farMAC().String(), true}
	g.lookAfterEnds()
	if err := g.DiodeReady("eno2", farEnd); err != nil {
		t.Errorf("the right entry: %v", err)
	}
	if calls := k.takeCalls(); strings.Contains(calls, "neighbour") {
		t.Errorf("it wrote: %s", calls)
	}
}

// TestDecideOnly: the privileged half and examinations have all decisions and
// no socket.
func TestDecideOnly(t *testing.T) {
	var told []Decision
	k := newFake(loopback(), ethernet(2, "eth0"), ethernet(3, "eth1"))
	k.routes[netip.MustParseAddr("10.0.0.1")] = 2
	o := Options{
		Policy: Policy{Monitoring: []string{"eth1"}, DiodeTX: []string{"lo"}}, Log: quiet, DecideOnly: true,
		OnDecide: func(d []Decision) { told = d },
	}
	g, err := newGuard(o, k, byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.wantFenceFor(g.verdicts); err != nil {
		t.Error(err)
	}
	if len(told) != 3 || told[2].Role != Monitoring || told[2].Rules[0] != "eth1" || told[2].Kind != "device" {
		t.Errorf("told %+v", told)
	}
	at := netip.MustParseAddrPort("10.0.0.1:514")
	for what, open := range map[string]func() error{
		"listen tcp": func() error { _, err := g.ListenTCP(t.Context(), 514, nil); return err },
		"listen udp": func() error { _, err := g.ListenUDP(t.Context(), 514, 0, nil); return err },
		"dial":       func() error { _, err := g.DialTCP(t.Context(), at); return err },
		"send":       func() error { _, err := g.DiodeSend(t.Context(), "lo", "", at); return err },
	} {
		if err := open(); !errors.Is(err, errDecides) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if len(g.listeners) != 0 {
		t.Error("a listener is left behind")
	}
}

// TestTolerant: a machine that does not fit the policy is decided all the
// same, and what does not fit stays closed.
func TestTolerant(t *testing.T) {
	k := newFake(loopback(), ethernet(2, "eth0"), ethernet(3, "eth1"))
	p := Policy{Monitoring: []string{"eth1", "eno9"}, DiodeTX: []string{"eno8"}}
	if _, err := newGuard(Options{Policy: p, Log: quiet}, k, byIndex, true); err == nil {
		t.Error("two rules match nothing, and nobody says so")
	}
	g, err := newGuard(Options{Policy: p, Log: quiet, DecideOnly: true, Tolerant: true}, k, byIndex, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := g.Snapshot().Decisions[2]; d.Role != Monitoring {
		t.Errorf("%+v", d)
	}
}
