//go:build linux

package fence_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// Addresses of the one-way links of these tests.
const (
	near4, far4 = "10.66.0.1", "10.66.0.2"
	near6, far6 = "fd00:66::1", "fd00:66::2"
	linkPort    = 5000
)

func linkFlows() []fence.Flow {
	return []fence.Flow{
		{Source: netip.MustParseAddr(near4), Dest: netip.AddrPortFrom(netip.MustParseAddr(far4), linkPort)},
		{Source: netip.MustParseAddr(near6), Dest: netip.AddrPortFrom(netip.MustParseAddr(far6), linkPort)},
		{Dest: netip.MustParseAddrPort("10.66.0.9:5009")},
	}
}

// sample is one frame, and whether a sending link may send it.
type sample struct {
	name  string
	pass  bool
	bytes []byte
}

// frame builds a frame by the layers below the payload.
func frame(t *testing.T, ls ...gopacket.SerializableLayer) []byte {
	t.Helper()
	var ip gopacket.NetworkLayer
	for _, l := range ls {
		switch l := l.(type) {
		case *layers.IPv4:
			ip = l
		case *layers.IPv6:
			ip = l
		case *layers.UDP:
			must(t, l.SetNetworkLayerForChecksum(ip))
		}
	}
	b := gopacket.NewSerializeBuffer()
	ls = append(ls, gopacket.Payload(bytes.Repeat([]byte{0x5c}, 64)))
	must(t, gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, ls...))
	return b.Bytes()
}

func ether(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0x6e, 0x6c, 0, 1, 1}, EthernetType: kind}
}

func ip4(src, dst string, change func(*layers.IPv4)) *layers.IPv4 {
	l := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.ParseIP(src).To4(), DstIP: net.ParseIP(dst).To4()}
	if change != nil {
		change(l)
	}
	return l
}

func ip6(src, dst string, next layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: next, SrcIP: net.ParseIP(src), DstIP: net.ParseIP(dst)}
}

func udp(port uint16) *layers.UDP { return &layers.UDP{SrcPort: 4999, DstPort: layers.UDPPort(port)} }

// samples are the frames of a link and their near misses.
func samples(t *testing.T) []sample {
	t.Helper()
	v4, v6 := ether(layers.EthernetTypeIPv4), ether(layers.EthernetTypeIPv6)
	tag := func(inner layers.EthernetType) *layers.Dot1Q { return &layers.Dot1Q{VLANIdentifier: 7, Type: inner} }
	arp := &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
		SourceHwAddress: v4.SrcMAC, SourceProtAddress: net.ParseIP(near4).To4(), DstHwAddress: make([]byte, 6), DstProtAddress: net.ParseIP(far4).To4(),
	}
	tcp := &layers.TCP{SrcPort: 4999, DstPort: linkPort, SYN: true}
	inside := ip4(near4, far4, func(l *layers.IPv4) { l.Protocol = layers.IPProtocolTCP })
	must(t, tcp.SetNetworkLayerForChecksum(inside))
	options := func(l *layers.IPv4) {
		l.Options = []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 0}}
	}
	return []sample{
		{"IPv4 of the link", true, frame(t, v4, ip4(near4, far4, nil), udp(linkPort))},
		{"IPv4, do not fragment", true, frame(t, v4, ip4(near4, far4, func(l *layers.IPv4) { l.Flags = layers.IPv4DontFragment }), udp(linkPort))},
		{"IPv6 of the link", true, frame(t, v6, ip6(near6, far6, layers.IPProtocolUDP), udp(linkPort))},
		{"any source", true, frame(t, v4, ip4("10.1.2.3", "10.66.0.9", nil), udp(5009))},
		{"IPv4, other port", false, frame(t, v4, ip4(near4, far4, nil), udp(linkPort+1))},
		{"IPv4, port of the other flow", false, frame(t, v4, ip4(near4, far4, nil), udp(5009))},
		{"IPv4, other source", false, frame(t, v4, ip4("10.66.0.7", far4, nil), udp(linkPort))},
		{"IPv4, other destination", false, frame(t, v4, ip4(near4, "10.66.0.3", nil), udp(linkPort))},
		{"IPv4, first fragment", false, frame(t, v4, ip4(near4, far4, func(l *layers.IPv4) { l.Flags = layers.IPv4MoreFragments }), udp(linkPort))},
		{"IPv4, later fragment", false, frame(t, v4, ip4(near4, far4, func(l *layers.IPv4) { l.FragOffset = 100 }), udp(linkPort))},
		{"IPv4, options", false, frame(t, v4, ip4(near4, far4, options), udp(linkPort))},
		{"IPv4, TCP", false, frame(t, v4, inside, tcp)},
		{"IPv4, tagged", false, frame(t, ether(layers.EthernetTypeDot1Q), tag(layers.EthernetTypeIPv4), ip4(near4, far4, nil), udp(linkPort))},
		{"IPv6, other port", false, frame(t, v6, ip6(near6, far6, layers.IPProtocolUDP), udp(linkPort+1))},
		{"IPv6, other source", false, frame(t, v6, ip6("fd00:66::7", far6, layers.IPProtocolUDP), udp(linkPort))},
		{"IPv6, other destination", false, frame(t, v6, ip6(near6, "fd00:66::3", layers.IPProtocolUDP), udp(linkPort))},
		{"IPv6, fragment", false, frame(t, v6, ip6(near6, far6, layers.IPProtocolIPv6Fragment))},
		{"IPv6, tagged", false, frame(t, ether(layers.EthernetTypeDot1Q), tag(layers.EthernetTypeIPv6), ip6(near6, far6, layers.IPProtocolUDP), udp(linkPort))},
		{"ARP", false, frame(t, v4Kind(v4, layers.EthernetTypeARP), arp)},
		{"another protocol", false, frame(t, ether(0x88b5))},
		{"too short", false, frame(t, v4)[:20]},
	}
}

func v4Kind(e *layers.Ethernet, kind layers.EthernetType) *layers.Ethernet {
	out := *e
	out.EthernetType = kind
	return &out
}

// pick takes the frames that may pass, or those that may not.
func pick(all []sample, pass bool) (out [][]byte) {
	for _, s := range all {
		if s.pass == pass {
			out = append(out, s.bytes)
		}
	}
	return out
}

// until fails when something does not become true within ten seconds.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) { // polls
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// barriers are which drops stand, with what takes the others away.
func (b *bench) only(which string) {
	b.t.Helper()
	switch which {
	case "nft":
		b.self.Run("tc", "qdisc", "del", "dev", fenced, "clsact")
	case "tc":
		must(b.t, b.table.Close())
	}
}

// sends injects each sample by itself, and compares what the peer sees.
func (b *bench) sends(bypass bool, all []sample) {
	b.t.Helper()
	w := b.peer.Watch(faced)
	seen := make([]func() int, len(all))
	for i, s := range all {
		seen[i] = w.CountIf(func(p gopacket.Packet) bool { return bytes.Equal(p.Data(), s.bytes) })
	}
	for _, s := range all {
		_, err := b.self.Inject(fenced, bypass, s.bytes)
		must(b.t, err)
	}
	last := frame(b.t, ether(layers.EthernetTypeIPv4), ip4(near4, far4, func(l *layers.IPv4) { l.Id = 999 }), udp(linkPort))
	done := w.CountIf(func(p gopacket.Packet) bool { return bytes.Equal(p.Data(), last) })
	_, err := b.self.Inject(fenced, bypass, last)
	must(b.t, err)
	until(b.t, "positive control: the last frame of the link passed", func() bool { return done() == 1 })
	for i, s := range all {
		if want := map[bool]int{true: 1}[s.pass]; seen[i]() != want {
			b.t.Errorf("%s: the peer saw %d, want %d", s.name, seen[i](), want)
		}
	}
}

func testSends(t *testing.T, which string, bypass bool) {
	t.Helper()
	b := newBench(t)
	if b == nil {
		return
	}
	target := b.target(guard.DiodeTX)
	target.Send = linkFlows()
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{target}}))
	b.whole()
	b.only(which)
	b.sends(bypass, samples(t))
	if which != "both" {
		return
	}
	if !bypass {
		b.whole()
		return
	}
	// What looks like the link's and went past tc was counted by nobody.
	if breaches := b.audit().Breaches; len(breaches) != 1 || breaches[0].Cause != "sent 5 frames beyond those of the link" {
		t.Errorf("breaches %+v", breaches)
	}
}

func TestSendingLinkBoth(t *testing.T)       { testSends(t, "both", false) }
func TestSendingLinkBothBypass(t *testing.T) { testSends(t, "both", true) }
func TestSendingLinkNft(t *testing.T)        { testSends(t, "nft", false) }
func TestSendingLinkNftBypass(t *testing.T)  { testSends(t, "nft", true) }
func TestSendingLinkTC(t *testing.T)         { testSends(t, "tc", false) }

// TestLargeSend sends datagrams that the kernel cuts up (UDP_SEGMENT, udp(7))
// by a fenced link, and sees that every one is counted.
func TestLargeSend(t *testing.T) {
	b := largeSend(t, "off")
	if b == nil {
		return
	}
	if sent := b.audit().Barriers[0].Sent; sent != 2*datagrams {
		t.Errorf("sent %d, want %d", sent, 2*datagrams)
	}
}

// TestLargeSendOffloaded leaves the cutting to the card, so that the drops see
// frames of 64 KiB.
func TestLargeSendOffloaded(t *testing.T) { largeSend(t, "on") }

const datagrams = 40

func largeSend(t *testing.T, offload string) *bench {
	t.Helper()
	b := newBench(t)
	if b == nil {
		return nil
	}
	b.self.Run("ethtool", "-K", fenced, "tx-udp-segmentation", offload, "gso", offload)
	for _, a := range []string{near4 + "/24", near6 + "/64"} {
		b.self.AddAddr(fenced, netip.MustParsePrefix(a))
	}
	mac := b.peer.MAC(faced)
	for _, far := range []string{far4, far6} {
		b.self.StaticNeighbour(fenced, netip.MustParseAddr(far), mac)
	}
	b.self.Run("ip", "route", "add", "10.99.0.0/24", "via", far4)
	target := b.target(guard.DiodeTX)
	target.Send = linkFlows()
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{target}}))
	if out := b.self.Run("ip", "route", "show", "10.99.0.0/24"); out == "" {
		t.Error("the static route is gone")
	}
	const size = 1472 // bytes of payload, with IPv4 an MTU of 1500
	for i, far := range []string{far4, far6} {
		to := net.JoinHostPort(far, fmt.Sprint(linkPort))
		var conn net.PacketConn
		must(t, b.peer.Do(func() (err error) {
			conn, err = (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", to)
			return err
		}))
		must(t, sendSegmented(t.Context(), net.JoinHostPort([]string{near4, near6}[i], "4999"), to, size-i*20, datagrams))
		must(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		buf := make([]byte, 2*size)
		for range datagrams {
			n, _, err := conn.ReadFrom(buf)
			if err != nil || n != size-i*20 {
				t.Fatalf("%s: %d bytes, %v", to, n, err)
			}
		}
		must(t, conn.Close())
	}
	b.whole()
	return b
}

// sendSegmented gives the kernel all datagrams in one call.
func sendSegmented(ctx context.Context, from, to string, size, datagrams int) error {
	conn, err := (&net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))}).DialContext(ctx, "udp", to)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	raw, err := conn.(*net.UDPConn).SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = unix.SetsockoptInt(int(fd), unix.SOL_UDP, unix.UDP_SEGMENT, size) }); err != nil || inner != nil {
		return fmt.Errorf("UDP_SEGMENT: %w %w", err, inner)
	}
	_, err = conn.Write(bytes.Repeat([]byte{7}, size*datagrams))
	return err
}

// TestReceivingLink counts what arrives at the far end: only the link passes.
func testReceives(t *testing.T, which, counter string) {
	t.Helper()
	b := newBench(t)
	if b == nil {
		return
	}
	b.peer.Sysctl("net.ipv6.conf."+faced+".disable_ipv6", "1") // it sends nothing of its own
	target := b.target(guard.DiodeRX)
	target.Receive = linkFlows()
	must(t, b.fence.Apply(fence.Plan{Targets: []fence.Target{target}, Ports: []guard.Port{{Network: "udp", Port: linkPort}}}))
	b.whole()
	b.only(which)
	all := samples(t)
	bad, good := pick(all, false), pick(all, true)
	dropped := func() uint64 { return b.audit().Barriers[0].Dropped[counter] }
	_, err := b.peer.Inject(faced, false, bad...)
	must(t, err)
	until(t, "all near misses are dropped", func() bool { return dropped() == uint64(len(bad)) })
	_, err = b.peer.Inject(faced, false, good...)
	must(t, err)
	_, err = b.peer.Inject(faced, false, bad[0])
	must(t, err)
	until(t, "only near misses are dropped", func() bool { return dropped() == uint64(len(bad)+1) })
}

func TestReceivingLinkTC(t *testing.T)  { testReceives(t, "both", "tc ingress") }
func TestReceivingLinkNft(t *testing.T) { testReceives(t, "nft", "nft ingress") }
