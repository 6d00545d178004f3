//go:build linux

package fence_test

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

func marker(b byte) []byte {
	return append(append(bytes.Repeat([]byte{0xff}, 6), 2, 0, 0, 0, 0, 1, 0x88, 0xb5, b), make([]byte, 50)...)
}

// silence carries out a stimulus, which with nothing set makes the interface
// send (the positive control), and sees that nothing leaves with the drops.
func silence(t *testing.T, which string, stimulus func(b *bench)) {
	t.Helper()
	b := newBench(t)
	if b == nil {
		return
	}
	w := b.peer.Watch(faced)
	stimulus(b)
	until(t, "positive control: with nothing set, frames leave", func() bool { return w.Count() > 0 })
	b.self.Run("ip", "link", "set", fenced, "down")
	b.self.Run("ip", "addr", "flush", "dev", fenced)
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}))
	b.only(which)
	w.Close()
	w = b.peer.Watch(faced)
	b.self.Up(fenced)
	stimulus(b)
	if which == "both" {
		if found := b.audit(); found.Barriers[0].Sent > 0 || len(found.Breaches) > 0 {
			t.Errorf("audit: %+v", found)
		}
	}
	// An AF_XDP socket sends past every drop: the witness sees frames, and
	// has seen all that left before.
	last := marker(1)
	done := w.CountIf(func(p gopacket.Packet) bool { return bytes.Equal(p.Data(), last) })
	must(t, b.self.TransmitXDP(fenced, last))
	until(t, "the witness saw the last frame", func() bool { return done() == 1 })
	if n := w.Count(); n != 1 {
		t.Errorf("%d frames left: %v", n-1, w.Frames()[0])
	}
}

func injection(bypass bool) func(b *bench) {
	return func(b *bench) {
		_, err := b.self.Inject(fenced, bypass, marker(2), marker(3), marker(4))
		must(b.t, err)
	}
}

// scan gives the interface addresses, as an administrator might, and sends
// what makes a host answer: ARP, neighbour solicitation, echo, TCP, UDP.
func scan(b *bench) {
	b.self.Sysctl("net.ipv6.conf."+fenced+".disable_ipv6", "0")
	b.self.Run("ip", "addr", "replace", near4+"/24", "dev", fenced)
	b.self.Run("ip", "addr", "replace", near6+"/64", "dev", fenced, "nodad")
	mac, err := net.ParseMAC(b.self.MAC(fenced))
	must(b.t, err)
	eth := func(kind layers.EthernetType) *layers.Ethernet {
		return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 9}, DstMAC: mac, EthernetType: kind}
	}
	arp := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: eth(0).SrcMAC, SourceProtAddress: net.ParseIP(far4).To4(), DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(near4).To4(),
	}
	tcp := &layers.TCP{SrcPort: 999, DstPort: 80, SYN: true, Window: 1000}
	in4, in6 := ip4(far4, near4, func(l *layers.IPv4) { l.Protocol = layers.IPProtocolTCP }), ip6(far6, near6, layers.IPProtocolTCP)
	must(b.t, tcp.SetNetworkLayerForChecksum(in4))
	tcp6 := *tcp
	must(b.t, tcp6.SetNetworkLayerForChecksum(in6))
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0)}
	inEcho := ip4(far4, near4, func(l *layers.IPv4) { l.Protocol = layers.IPProtocolICMPv4 })
	_, err = b.peer.Inject(faced, false,
		frame(b.t, eth(layers.EthernetTypeARP), arp),
		frame(b.t, eth(layers.EthernetTypeIPv4), in4, tcp), frame(b.t, eth(layers.EthernetTypeIPv6), in6, &tcp6),
		frame(b.t, eth(layers.EthernetTypeIPv4), inEcho, echo),
		frame(b.t, eth(layers.EthernetTypeIPv4), ip4(far4, near4, nil), udp(81)),
		frame(b.t, eth(layers.EthernetTypeIPv6), ip6(far6, near6, layers.IPProtocolUDP), udp(81)))
	must(b.t, err)
}

// sockets sends by the interface without knowing an address there, and joins
// a group.
func sockets(b *bench) {
	b.self.Run("ip", "route", "replace", "10.55.0.0/24", "dev", fenced)
	bind := &net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var inner error
		err := c.Control(func(fd uintptr) {
			inner = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, fenced)
		})
		if err != nil {
			return err
		}
		return inner
	}}
	c, err := bind.ListenPacket(b.t.Context(), "udp4", ":0")
	must(b.t, err)
	defer func() { must(b.t, c.Close()) }()
	for range 3 {
		_, _ = c.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(netip.MustParseAddrPort("255.255.255.255:9"))) // a refusal is as good
	}
	raw, err := c.(*net.UDPConn).SyscallConn()
	must(b.t, err)
	must(b.t, raw.Control(func(fd uintptr) {
		index := b.self.Index(fenced)
		group := &unix.IPMreqn{Multiaddr: [4]byte{239, 1, 2, 3}, Ifindex: int32(index)}
		_ = unix.SetsockoptIPMreqn(int(fd), unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, group)
	}))
}

// relatives puts a bridge above the interface and a child on it, and makes
// both talk.
func relatives(b *bench) {
	_ = b.self.TryBatch("link del mv0") // of the control
	_ = b.self.TryBatch("link del br0") // of the control
	b.self.Batch("link add mv0 link "+fenced+" type macvlan mode bridge", "link set mv0 up", "addr add 10.70.0.1/24 dev mv0")
	_, err := b.self.Inject("mv0", false, marker(5))
	must(b.t, err)
	b.self.Batch("link del mv0", "link add br0 type bridge stp_state 1 forward_delay 200 hello_time 100", "link set br0 up", "link set "+fenced+" master br0")
	_, err = b.self.Inject("br0", false, marker(6))
	must(b.t, err)
}

func TestSilentInjectBoth(t *testing.T)    { silence(t, "both", injection(false)) }
func TestSilentInjectNft(t *testing.T)     { silence(t, "nft", injection(false)) }
func TestSilentInjectTC(t *testing.T)      { silence(t, "tc", injection(false)) }
func TestSilentBypassBoth(t *testing.T)    { silence(t, "both", injection(true)) }
func TestSilentBypassNft(t *testing.T)     { silence(t, "nft", injection(true)) }
func TestSilentScanBoth(t *testing.T)      { silence(t, "both", scan) }
func TestSilentScanNft(t *testing.T)       { silence(t, "nft", scan) }
func TestSilentScanTC(t *testing.T)        { silence(t, "tc", scan) }
func TestSilentSocketsBoth(t *testing.T)   { silence(t, "both", sockets) }
func TestSilentSocketsNft(t *testing.T)    { silence(t, "nft", sockets) }
func TestSilentSocketsTC(t *testing.T)     { silence(t, "tc", sockets) }
func TestSilentRelativesBoth(t *testing.T) { silence(t, "both", relatives) }
func TestSilentRelativesNft(t *testing.T)  { silence(t, "nft", relatives) }
func TestSilentRelativesTC(t *testing.T)   { silence(t, "tc", relatives) }

// drifted are the texts of what Audit found, joined.
func (b *bench) drifted() string {
	var out []string
	for _, d := range b.audit().Drifts {
		out = append(out, d.What)
	}
	return strings.Join(out, "; ")
}

// TestRestores: what somebody changed is found, and set right without the
// interface going down.
func TestRestores(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	plan := fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}, Ports: []guard.Port{{Network: "tcp", Port: 4000}}}
	must(t, b.fence.Apply(plan))
	b.whole()
	for _, c := range []struct{ name, command, want string }{
		{"flush", "nft flush ruleset", ""},
		{"clsact gone", "tc qdisc del dev mon0 clsact", "tc egress is gone; tc ingress is gone"},
		{"egress filter gone", "tc filter del dev mon0 egress", "tc egress is gone"},
		{"ingress filter gone", "tc filter del dev mon0 ingress", "tc ingress is gone"},
		{"arp on", "ip link set mon0 arp on", "arp is on, want off"},
		{"multicast on", "ip link set mon0 multicast on", "multicast is on, want off"},
		{"IPv6 on", "sysctl -qw net.ipv6.conf.mon0.disable_ipv6=0", "ipv6/disable_ipv6 is 0, want 1"},
		{"answers", "sysctl -qw net.ipv4.conf.mon0.arp_ignore=0", "ipv4/arp_ignore is 0, want 8"},
		{"loose is as good", "sysctl -qw net.ipv4.conf.mon0.rp_filter=2", ""},
		{"forwards", "sysctl -qw net.ipv4.conf.mon0.forwarding=1", "ipv4/forwarding is 1, want 0"},
		{"address", "ip addr add 10.1.2.3/24 dev mon0", "has address 10.1.2.3/24"},
		{"bridge", "ip link add br7 type bridge && ip link set mon0 master br7", "has relatives: member of br7"},
		{"no bridge", "ip link del br7", "has no relatives any more"},
		{"macvlan", "ip link add mv7 link mon0 type macvlan", "has relatives: mv7 (macvlan) on it"},
	} {
		b.self.Run("sh", "-c", c.command)
		if got := b.drifted(); got != c.want {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
		must(t, b.fence.Apply(plan))
		b.whole()
		if !strings.Contains(b.self.IP("link", "show", fenced), ",UP") {
			t.Fatalf("%s: it went down", c.name)
		}
	}
}

// TestRenamed: on new kernels the chain stays with the name, on old ones with
// the interface; both are right again after Apply.
func TestRenamed(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	plan := fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}
	must(t, b.fence.Apply(plan))
	b.self.Batch("link set "+fenced+" down", "link set "+fenced+" name other0", "link set other0 up")
	t.Logf("after the renaming: %q", b.drifted())
	plan.Targets[0].Name = "other0"
	must(t, b.fence.Apply(plan))
	b.whole()
	for _, bypass := range []bool{false, true} {
		_, err := b.self.Inject("other0", bypass, marker(1))
		must(t, err)
	}
	if d := b.audit().Barriers[0].Dropped["nft egress"]; d != 2 {
		t.Errorf("dropped %d by nft, want 2", d)
	}
	b.whole()
}

// TestRecreated: a new interface of the name is another one, fenced anew; what
// stood before the old one goes.
func TestRecreated(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}))
	b.self.Batch("link del "+fenced, "link add "+fenced+" type veth peer name far7", "link set "+fenced+" up", "link set far7 up")
	if found := b.audit(); len(found.Barriers) != 0 {
		t.Errorf("a barrier before an interface that is gone: %+v", found)
	}
	if err := b.fence.Apply(fence.Plan{Targets: []fence.Target{{Index: 4711, Name: "gone", Role: guard.Monitoring}}}); err == nil {
		t.Error("an interface that is not there was fenced")
	}
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}))
	b.whole()
	if n := strings.Count(b.self.Run("nft", "list", "table", "netdev", "sluice"), "chain "); n != 2 {
		t.Errorf("%d chains, want 2", n)
	}
}

// TestBreaches: frames that the drops did not see, and an XDP program.
func TestBreaches(t *testing.T) {
	b := newBench(t)
	if b == nil {
		return
	}
	plan := fence.Plan{Targets: []fence.Target{b.target(guard.Monitoring)}}
	must(t, b.fence.Apply(plan))
	must(t, b.self.TransmitXDP(fenced, marker(1), marker(2), marker(3), marker(4), marker(5)))
	found := b.audit()
	if len(found.Breaches) != 1 || found.Breaches[0].Cause != "sent 5 frames since it was fenced" || found.Barriers[0].Sent != 5 {
		t.Errorf("AF_XDP: %+v", found)
	}
	must(t, b.fence.Down(plan.Targets[0].Index))
	must(t, b.fence.Apply(plan))
	if strings.Contains(b.self.IP("link", "show", fenced), ",UP") {
		t.Error("what was set down for a trip is up again")
	}
	must(t, b.fence.Apply(fence.Plan{}))
	b.self.Up(fenced)
	must(t, b.fence.Apply(plan))
	b.whole()
}
