package guard_test

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// fact returns one finding as "state: value -> remedy".
func (s *span) fact(q guard.DiodeQuery, name string) string {
	s.t.Helper()
	var names []string
	for _, f := range s.guard.DiodeFacts(s.t.Context(), q) {
		if f.Name == name {
			return f.State + ": " + f.Value + " -> " + f.Remedy
		}
		names = append(names, f.Name)
	}
	s.t.Fatalf("no fact %q among %q", name, names)
	return ""
}

func (s *span) wantFact(q guard.DiodeQuery, name, want string) {
	s.t.Helper()
	if got := s.fact(q, name); !strings.Contains(got, want) {
		s.t.Errorf("%s %s, want %s", name, got, want)
	}
}

func TestFactsOfASendingEnd(t *testing.T) {
	s := newSpan(t, prefixes("10.99.0.1/24"), nil)
	if s == nil {
		return
	}
	far := netip.MustParseAddrPort("10.99.0.2:5760")
	mac, err := net.ParseMAC("02:64:69:6f:00:02")
	if err != nil {
		t.Fatal(err)
	}
	s.start(guard.Policy{DiodeTX: []string{"dio0"}, SendEnds: []guard.SendEnd{{Interface: "dio0", Destination: far, MAC: mac, MTU: 1500}}})
	q := guard.DiodeQuery{Interface: "dio0", Source: netip.MustParseAddr("10.99.0.1"), Address: far, MAC: mac, MTU: 1500}
	for name, want := range map[string]string{
		"interface": "role diode-tx", "carrier": "ok: there", "mtu": "ok: 1500", "source": "ok: 10.99.0.1",
		"neighbour": "ok: 10.99.0.2 is at 02:64:69:6f:00:02, permanently", "arp": "warn: on", "transmit ring": "ok: none",
		"segmentation": "ok: by the kernel", "send memory": "net.core.wmem_max",
	} {
		s.wantFact(q, name, want)
	}
	s.Self().Run("ip", "link", "set", "dio0", "arp", "off", "mtu", "1400", "txqueuelen", "7")
	s.Self().Run("ethtool", "-K", "dio0", "tx-udp-segmentation", "on")
	s.wantFact(q, "arp", "ok: off")
	s.wantFact(q, "mtu", "bad: 1400, below the link's mtu of 1500")
	s.wantFact(q, "transmit queue", "warn: 7 frames")
	s.wantFact(q, "segmentation", "ok: by the card")
	s.Self().Run("ethtool", "-K", "dio0", "tx", "off")
	s.wantFact(q, "segmentation", "warn: checksum offload is off")
	s.Self().Run("ip", "address", "delete", "10.99.0.1/24", "dev", "dio0")
	s.wantFact(q, "source", "bad: dio0 does not have 10.99.0.1")
	s.peer.Run("ip", "link", "set", "eth0", "down")
	s.wantFact(q, "carrier", "bad: dio0 has no carrier")
}

func TestFactsOfAReceivingEnd(t *testing.T) {
	s := newSpan(t, prefixes("10.99.0.2/24"), prefixes("10.99.0.1/24"))
	if s == nil {
		return
	}
	s.start(guard.Policy{DiodeRX: []string{"dio0"}})
	q := guard.DiodeQuery{
		Receive: true, Interface: "dio0", Source: netip.MustParseAddr("10.99.0.1"), Address: netip.MustParseAddrPort("10.99.0.2:5760"),
		MTU: 1500, Buffer: 64 << 20, Watch: 200 * time.Millisecond,
	}
	s.Self().Run("sysctl", "-qw", "net.ipv6.conf.dio0.disable_ipv6=1")
	s.peer.Run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
	s.wantFact(q, "frames", "bad: no frame at all arrives")
	s.wantFact(q, "socket drops", "warn: no socket is open on port 5760")
	conn, err := s.guard.DiodeReceive(t.Context(), "dio0", q.Address, 1)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { report(t, conn.Close()) }()
	for name, want := range map[string]string{
		"interface": "role diode-rx", "carrier": "ok: there", "address": "ok: 10.99.0.2", "reverse path": "ok: ",
		"receive memory": "ok: ", "socket drops": "ok: none", "receive ring": "ok: none", "merging": "warn: gro is off", "backlog": "net.core.netdev_max_backlog",
	} {
		s.wantFact(q, name, want)
	}
	s.Self().Run("ethtool", "-K", "dio0", "gro", "on")
	s.wantFact(q, "merging", "ok: gro is on")
	s.peer.StaticNeighbour("eth0", q.Address.Addr(), "02:64:69:6f:00:01")
	s.sending(q.Address)
	s.wantFact(q, "frames", "ok: ")
	s.until("the socket overflows", func() bool {
		return strings.HasPrefix(s.fact(q, "socket drops"), "warn: ")
	})
	s.peer.StaticNeighbour("eth0", q.Address.Addr(), "02:64:69:6f:00:99")
	s.wantFact(q, "frames", "frames arrive for 02:64:69:6f:00:99, this interface is 02:64:69:6f:00:01")
	s.peer.StaticNeighbour("eth0", q.Address.Addr(), "02:64:69:6f:00:01")
	q.Source = netip.MustParseAddr("10.99.0.7")
	s.wantFact(q, "frames", "come from 10.99.0.1, not from 10.99.0.7")
	q.Source, q.Address = netip.Addr{}, netip.MustParseAddrPort("10.99.0.2:5761")
	s.wantFact(q, "frames", "frames arrive, none of them UDP to port 5761")
	if strings.Contains(s.Self().Run("ip", "-d", "link", "show", "dev", "dio0"), "promiscuity 1") {
		t.Error("the interface is still promiscuous")
	}
}

// sending keeps datagrams coming from the peer until the test ends.
func (s *span) sending(to netip.AddrPort) {
	s.t.Helper()
	var conn *net.UDPConn
	if err := s.peer.Do(func() (err error) {
		conn, err = net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
		return err
	}); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := conn.Write(make([]byte, 1000)); errors.Is(err, net.ErrClosed) {
				return
			}
			<-time.After(time.Millisecond)
		}
	}()
	s.t.Cleanup(func() { _ = conn.Close(); <-done })
}
