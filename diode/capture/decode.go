package capture

import (
	"bytes"
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// decoder finds the datagram in a frame. It keeps its layers from frame to
// frame, so that a good frame costs no allocation.
type decoder struct {
	source, dest []byte // addresses in network order; nil = any
	ipv6         bool
	port         layers.UDPPort

	eth    layers.Ethernet
	tag    layers.Dot1Q
	ip4    layers.IPv4
	ip6    layers.IPv6
	udp    layers.UDP
	parser *gopacket.DecodingLayerParser
	found  []gopacket.LayerType
}

func newDecoder(listen netip.AddrPort, source netip.Addr) *decoder {
	dest := listen.Addr().Unmap()
	d := &decoder{ipv6: dest.Is6(), port: layers.UDPPort(listen.Port())}
	if !dest.IsUnspecified() {
		d.dest = dest.WithZone("").AsSlice()
	}
	if source.IsValid() {
		d.source = source.Unmap().WithZone("").AsSlice()
	}
	d.parser = gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet)
	known := gopacket.DecodingLayerContainer(gopacket.DecodingLayerArray(nil))
	for _, l := range []gopacket.DecodingLayer{&d.eth, &d.tag, &d.ip4, &d.ip6, &d.udp} {
		known = known.Put(l)
	}
	d.parser.SetDecodingLayerContainer(known)
	d.parser.IgnoreUnsupported = true // what the datagram holds is nobody's business here
	return d
}

// decode returns what is in the datagram of a frame; it aliases frame. summed
// says that the kernel or the card has checked the UDP checksum, or that the
// frame never left this machine and has none yet.
func (d *decoder) decode(frame []byte, summed bool) ([]byte, refusal) {
	err := d.parser.DecodeLayers(frame, &d.found)
	if d.fragmented() {
		return nil, fragment
	}
	if err != nil || d.parser.Truncated || !d.shape() {
		return nil, malformed
	}
	header, src, dst, why := d.network()
	if why != accepted {
		return nil, why
	}
	if int(d.udp.Length) < len(d.udp.Contents) || int(d.udp.Length) > len(header) {
		return nil, malformed
	}
	if d.udp.DstPort != d.port || !is(d.source, src) || !is(d.dest, dst) {
		return nil, foreign
	}
	if !summed && !d.checksumRight(src, dst, header[:d.udp.Length]) {
		return nil, badChecksum
	}
	return d.udp.Payload, accepted
}

// shape reports whether the frame is Ethernet, at most one tag, IP of our
// version, UDP, and nothing between.
func (d *decoder) shape() bool {
	rest := d.found
	if len(rest) > 0 && rest[0] == layers.LayerTypeEthernet {
		rest = rest[1:]
	}
	if len(rest) > 0 && rest[0] == layers.LayerTypeDot1Q {
		rest = rest[1:]
	}
	want := layers.LayerTypeIPv4
	if d.ipv6 {
		want = layers.LayerTypeIPv6
	}
	return len(rest) == 2 && rest[0] == want && rest[1] == layers.LayerTypeUDP
}

// fragmented reports whether the last header that was understood is one of a
// fragment.
func (d *decoder) fragmented() bool {
	if len(d.found) == 0 {
		return false
	}
	switch d.found[len(d.found)-1] {
	case layers.LayerTypeIPv4:
		return d.ip4.NextLayerType() == gopacket.LayerTypeFragment
	case layers.LayerTypeIPv6:
		return d.ip6.NextHeader == layers.IPProtocolIPv6Fragment
	}
	return false
}

// network checks the IP header and returns what it carries, with its
// addresses. The ring sees frames before the kernel has looked at them.
func (d *decoder) network() (payload, src, dst []byte, why refusal) {
	if d.ipv6 {
		if d.ip6.Version != 6 {
			return nil, nil, nil, malformed
		}
		return d.ip6.Payload, d.ip6.SrcIP, d.ip6.DstIP, accepted
	}
	// The total length is read again, because a zero is guessed at.
	if d.ip4.Version != 4 || binary.BigEndian.Uint16(d.ip4.Contents[2:]) == 0 {
		return nil, nil, nil, malformed
	}
	if fold(sum(0, d.ip4.Contents)) != sumRight {
		return nil, nil, nil, badChecksum
	}
	return d.ip4.Payload, d.ip4.SrcIP, d.ip4.DstIP, accepted
}

func is(want, got []byte) bool { return want == nil || bytes.Equal(want, got) }
