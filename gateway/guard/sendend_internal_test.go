package guard

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var farEnd = netip.MustParseAddrPort("10.99.0.2:5760")

func farMAC() net.HardwareAddr { return net.HardwareAddr{2, 0, 0x5e, 0x10, 0, 2} }

func sendPolicy(mac net.HardwareAddr, mtu int) Policy {
	return Policy{DiodeTX: []string{"eno2"}, SendEnds: []SendEnd{{Interface: "eno2", Destination: farEnd, MAC: mac, MTU: mtu}}}
}

// TestReadiness changes one thing at a time on a link that could send.
func TestReadiness(t *testing.T) {
	for _, c := range []struct {
		name   string
		mac    net.HardwareAddr
		change func(k *fakeKernel, l *link)
		want   string // "" = ready
	}{
		{name: "entry made", mac: farMAC()},
		{name: "entry exists", change: func(k *fakeKernel, _ *link) {
			k.table[tableKey{2, farEnd.Addr()}] = neighbour{"02:00:00:00:00:aa", true}
		}},
		{
			name: "no entry", want: "guard: send side: eno2: no permanent neighbour entry for 10.99.0.2, and over a one-way link nobody answers a question for it: " +
				"set destination_mac, or make the entry: ip neighbour replace 10.99.0.2 lladdr MAC dev eno2 nud permanent",
		},
		{name: "entry that ages", want: "no permanent neighbour entry", change: func(k *fakeKernel, _ *link) {
			k.table[tableKey{2, farEnd.Addr()}] = neighbour{"02:00:00:00:00:aa", false}
		}},
		{name: "entry of another machine", mac: farMAC(), change: func(k *fakeKernel, _ *link) {
			k.table[tableKey{2, farEnd.Addr()}] = neighbour{"02:00:00:00:00:aa", true}
		}},
		{
			name: "entry refused", mac: farMAC(), change: func(k *fakeKernel, _ *link) { k.refuse = errFake },
			want: "guard: send side: eno2: neighbour entry 10.99.0.2 at 02:00:5e:10:00:02: fake: refused: let Sluice have CAP_NET_ADMIN, or make the entry: ip neighbour replace 10.99.0.2 lladdr 02:00:5e:10:00:02 dev eno2 nud permanent",
		},
		{
			name: "down", mac: farMAC(), change: func(_ *fakeKernel, l *link) { l.up, l.carrier = false, false },
			want: "guard: send side: eno2: it is down: set it up: ip link set eno2 up",
		},
		{
			name: "no carrier", mac: farMAC(), change: func(_ *fakeKernel, l *link) { l.carrier = false },
			want: "guard: send side: eno2: no carrier: plug the cable, or configure the media converter to keep its light on without a return fibre",
		},
		{
			name: "mtu", mac: farMAC(), change: func(_ *fakeKernel, l *link) { l.mtu = 1499 },
			want: "guard: send side: eno2: its MTU of 1499 is below the link's mtu of 1500: ip link set eno2 mtu 1500, or set the link's mtu to 1499 on both sides",
		},
		{name: "larger mtu", mac: farMAC(), change: func(_ *fakeKernel, l *link) { l.mtu = 9000 }},
		{name: "no hardware addresses", change: func(_ *fakeKernel, l *link) { l.mac = "" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			k, l := newFake(loopback()), ethernet(2, "eno2")
			if c.change != nil {
				c.change(k, &l)
			}
			k.links = append(k.links, l)
			g := fakeGuard(t, k, sendPolicy(c.mac, 1500))
			err := g.DiodeReady("eno2", farEnd)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
			if entry := k.table[tableKey{2, farEnd.Addr()}]; c.mac != nil && err == nil && (entry != neighbour{c.mac.String(), true}) {
				t.Errorf("the entry is %+v", entry)
			}
		})
	}
}

func TestReadinessOfOthers(t *testing.T) {
	g := fakeGuard(t, newFake(loopback(), ethernet(2, "eno2")), sendPolicy(farMAC(), 0))
	if err := g.DiodeReady("eno3", farEnd); err == nil || !strings.Contains(err.Error(), `no link of this node sends to 10.99.0.2:5760 by "eno3"`) {
		t.Errorf("a link that nobody named: %v", err)
	}
	g.decide([]link{loopback()})
	var refused *RefusedError
	if err := g.DiodeReady("eno2", farEnd); !errors.As(err, &refused) {
		t.Errorf("an interface that is gone: %v", err)
	}
	g.lose()
	if err := g.DiodeReady("eno2", farEnd); !errors.Is(err, ErrUnknownState) {
		t.Errorf("while the state is unknown: %v", err)
	}
	g.lookAfterEnds()
	if err := g.DiodeReady("eno2", farEnd); !errors.Is(err, ErrUnknownState) {
		t.Errorf("while the state is unknown and a second has passed: %v", err)
	}
	g.decide([]link{loopback(), ethernet(2, "eno2")})
	if err := g.DiodeReady("eno2", farEnd); err != nil {
		t.Errorf("it is known again: %v", err)
	}
}

// TestEntriesAreKept: an entry that vanishes without an event is back within a
// second, and one that vanished with an event at once.
func TestEntriesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newFake(ethernet(2, "eno2"))
		g := fakeGuard(t, k, sendPolicy(farMAC(), 1500))
		start(t, g)
		synctest.Wait()
		k.takeCalls()
		k.flush()
		time.Sleep(tendEvery)
		synctest.Wait()
		made := "neighbour 2 10.99.0.2 02:00:5e:10:00:02"
		if got := k.takeCalls(); got != made {
			t.Errorf("after a second: %q", got)
		}
		time.Sleep(10 * tendEvery)
		synctest.Wait()
		if got := k.takeCalls(); got != "" {
			t.Errorf("with nothing to do: %q", got)
		}
		down := ethernet(2, "eno2")
		down.up, down.carrier = false, false
		k.flush()
		k.set(down)
		synctest.Wait()
		if err := g.DiodeReady("eno2", farEnd); err == nil || !strings.Contains(err.Error(), "it is down") {
			t.Errorf("set down: %v", err)
		}
		k.set(ethernet(2, "eno2"))
		synctest.Wait()
		if err := g.DiodeReady("eno2", farEnd); err != nil {
			t.Errorf("up again: %v", err)
		}
		if got := k.takeCalls(); got != "list list "+made {
			t.Errorf("down and up: %q", got)
		}
	})
}

// TestWhatSendsNothingIsNotOpened: a setting that loses everything is an error
// at once, a cable that is not plugged is not.
func TestWhatSendsNothingIsNotOpened(t *testing.T) {
	k, l := newFake(), ethernet(2, "eno2")
	l.mtu = 1280
	k.links = []link{l}
	g := fakeGuard(t, k, sendPolicy(farMAC(), 1500))
	_, err := g.DiodeSend(t.Context(), "eno2", "", farEnd)
	if nr, ok := errors.AsType[*NotReadyError](err); !ok || !strings.Contains(nr.Cause, "1280") || !strings.Contains(nr.Cause, "1500") {
		t.Errorf("mtu: %v", err)
	}
	l.mtu, l.carrier = 1500, false
	g.decide([]link{l})
	if err := g.openable("eno2", farEnd); err != nil {
		t.Errorf("no carrier: %v", err)
	}
	if err := g.openable("eno2", netip.MustParseAddrPort("10.99.0.9:1")); err != nil {
		t.Errorf("an end that is not in the policy: %v", err)
	}
	g.lose()
	if err := g.openable("eno2", farEnd); !errors.Is(err, ErrUnknownState) {
		t.Errorf("unknown state: %v", err)
	}
}

func TestEndsOfAPolicy(t *testing.T) {
	end := SendEnd{Interface: "eno2", Destination: farEnd, MAC: farMAC(), MTU: 1500}
	change := func(f func(e *SendEnd)) SendEnd { e := end; f(&e); return e }
	for want, ends := range map[string][]SendEnd{
		"which is no sending interface":      {change(func(e *SendEnd) { e.Interface = "eno3" })},
		"want an address and a port":         {change(func(e *SendEnd) { e.Destination = netip.AddrPortFrom(farEnd.Addr(), 0) })},
		"is not one of Ethernet":             {change(func(e *SendEnd) { e.MAC = e.MAC[:4] })},
		"give 10.99.0.2 two hardware addres": {end, change(func(e *SendEnd) { e.Destination, e.MAC = netip.AddrPortFrom(farEnd.Addr(), 9), nil })},
	} {
		p := Policy{DiodeTX: []string{"eno2"}, SendEnds: ends}
		if err := p.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", ends, err, want)
		}
	}
	p := Policy{DiodeTX: []string{"eno2"}, SendEnds: []SendEnd{end}}
	if err := p.check(); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(p.String(), "; ends eno2 to 10.99.0.2:5760 by 02:00:5e:10:00:02, mtu 1500") {
		t.Error(p.String())
	}
	other := p
	other.SendEnds = []SendEnd{change(func(e *SendEnd) { e.MTU = 9000 })}
	same := p
	if !p.Equal(same) || p.Equal(other) {
		t.Error("Equal does not see the ends")
	}
}
