package matrix_test

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

const (
	// markType is the first EtherType for local experiments (IEEE Std 802).
	markType = 0x88b5
	// controlMark and stimulusMark tell marked frames apart.
	controlMark  = 0xc0
	stimulusMark = 0x51
	// frameLeast is the shortest Ethernet frame without its checksum, in bytes.
	frameLeast = 60
)

// mark is a broadcast frame that only this package sends.
func mark(kind byte) []byte {
	b := append(bytes.Repeat([]byte{0xff}, 6), mac(nodeMAC)...)
	b = binary.BigEndian.AppendUint16(b, markType)
	return append(append(b, kind), make([]byte, frameLeast-len(b)-1)...)
}

func marks(kind byte, n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = mark(kind)
	}
	return out
}

// marked wants the marked frames of one kind.
func marked(kind byte) func(gopacket.Packet) bool {
	return func(p gopacket.Packet) bool {
		b := p.Data()
		return len(b) > 14 && binary.BigEndian.Uint16(b[12:]) == markType && b[14] == kind
	}
}

// anything wants every frame but the control.
func anything(p gopacket.Packet) bool { return !marked(controlMark)(p) }

// answers wants what a kernel sends only when it is spoken to: no reports of
// groups, no solicitation of routers, no question whether an address is taken.
func answers(p gopacket.Packet) bool {
	if l, ok := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6); ok {
		switch l.TypeCode.Type() {
		case layers.ICMPv6TypeRouterSolicitation, layers.ICMPv6TypeMLDv2MulticastListenerReportMessageV2:
			return false
		case layers.ICMPv6TypeNeighborSolicitation:
			ip, ok := p.NetworkLayer().(*layers.IPv6)
			return ok && !ip.SrcIP.IsUnspecified()
		}
		return true
	}
	return anything(p) && p.Layer(layers.LayerTypeIGMP) == nil
}

// groups wants reports about the groups that the multicast stimulus joins.
func groups(p gopacket.Packet) bool {
	return bytes.Contains(p.Data(), group().AsSlice()) || bytes.Contains(p.Data(), group6().AsSlice())
}

func group() netip.Addr  { return netip.MustParseAddr("239.66.77.88") }
func group6() netip.Addr { return netip.MustParseAddr("ff05::6677") }

func mac(s string) net.HardwareAddr {
	m, err := net.ParseMAC(s)
	if err != nil {
		panic(err) // a constant of this package
	}
	return m
}

// frame puts layers together; lengths and checksums are filled in.
func frame(parts ...gopacket.SerializableLayer) []byte {
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, parts...); err != nil {
		panic(err) // only layers that this package put together
	}
	return append(b.Bytes(), make([]byte, max(0, frameLeast-len(b.Bytes())))...)
}

func ethernet(dst net.HardwareAddr, kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: mac(peerMAC), DstMAC: dst, EthernetType: kind}
}

// ip returns the network layer between two addresses, and the link layer below
// it, towards the node.
func ip(src, dst netip.Addr, proto layers.IPProtocol) (gopacket.SerializableLayer, gopacket.SerializableLayer, gopacket.NetworkLayer) {
	if src.Is4() {
		l := &layers.IPv4{Version: 4, TTL: 64, Protocol: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		return ethernet(mac(nodeMAC), layers.EthernetTypeIPv4), l, l
	}
	l := &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: proto, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	return ethernet(mac(nodeMAC), layers.EthernetTypeIPv6), l, l
}

func syn(src, dst netip.Addr, port uint16) []byte {
	eth, net, sum := ip(src, dst, layers.IPProtocolTCP)
	l := &layers.TCP{SrcPort: 40000, DstPort: layers.TCPPort(port), Seq: 1, SYN: true, Window: 1024}
	_ = l.SetNetworkLayerForChecksum(sum)
	return frame(eth, net, l)
}

func datagram(src, dst netip.Addr, port uint16, text string) []byte {
	eth, net, sum := ip(src, dst, layers.IPProtocolUDP)
	l := &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(port)}
	_ = l.SetNetworkLayerForChecksum(sum)
	return frame(eth, net, l, gopacket.Payload(text))
}

// whoHas asks for the hardware address of dst: ARP, or neighbour solicitation.
func whoHas(src, dst netip.Addr) []byte {
	if src.Is4() {
		return frame(ethernet(layers.EthernetBroadcast, layers.EthernetTypeARP), &layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
			Operation: layers.ARPRequest, SourceHwAddress: mac(peerMAC), SourceProtAddress: src.AsSlice(),
			DstHwAddress: make([]byte, 6), DstProtAddress: dst.AsSlice(),
		})
	}
	eth, net, sum := ip(src, dst, layers.IPProtocolICMPv6)
	l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeNeighborSolicitation, 0)}
	_ = l.SetNetworkLayerForChecksum(sum)
	return frame(eth, net, l, &layers.ICMPv6NeighborSolicitation{
		TargetAddress: dst.AsSlice(),
		Options:       layers.ICMPv6Options{{Type: layers.ICMPv6OptSourceAddress, Data: mac(peerMAC)}},
	})
}

// echo asks whether dst is there.
func echo(src, dst netip.Addr) []byte {
	if src.Is4() {
		eth, net, _ := ip(src, dst, layers.IPProtocolICMPv4)
		return frame(eth, net, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: 1, Seq: 1})
	}
	eth, net, sum := ip(src, dst, layers.IPProtocolICMPv6)
	l := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(layers.ICMPv6TypeEchoRequest, 0)}
	_ = l.SetNetworkLayerForChecksum(sum)
	return frame(eth, net, l, &layers.ICMPv6Echo{Identifier: 1, SeqNumber: 1})
}
