package matrix_test

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// way is one way to send something that is not the link's.
type way struct {
	name    string
	frame   []byte
	arrives bool // without a guard IP delivers it to this machine
}

const vlanTag = "VLAN tag"

// ways lists frames from src to dst that differ from the link's in one thing.
func ways(src, dst netip.Addr) []way {
	out := []way{
		{"another port", datagram(src, dst, linkPort+1, "x"), true},
		{"another source", datagram(src.Prev().Prev(), dst, linkPort, "x"), true},
		{"another destination", datagram(src, dst.Next().Next(), linkPort, "x"), false},
		{"TCP", syn(src, dst, linkPort), true},
		{"echo", echo(src, dst), true},
		{"a question for the address", whoHas(src, dst), false},
		{"a first fragment", fragment(src, dst, 0, true), false},
		{"a later fragment", fragment(src, dst, 185, false), false},
		{vlanTag, tagged(datagram(src, dst, linkPort, "x")), false},
		{"no IP at all", mark(stimulusMark), false},
	}
	if src.Is4() {
		out = append(out, way{"IP options", withOptions(src, dst), true})
	} else {
		out = append(out, way{"extension header", withExtension(src, dst), true})
	}
	return out
}

func ofLink(src, dst netip.Addr) []byte { return datagram(src, dst, linkPort, "link") }

// fragment is a piece of a datagram to the link's port; offset in units of 8
// bytes.
func fragment(src, dst netip.Addr, offset uint16, more bool) []byte {
	b := datagram(src, dst, linkPort, "xxxxxxxx")
	if src.Is4() {
		word := offset
		if more {
			word |= 0x2000
		}
		binary.BigEndian.PutUint16(b[14+6:], word)
		fixSum(b[14:34])
		return b
	}
	head := []byte{byte(layers.IPProtocolUDP), 0, 0, 0, 0, 0, 0, 1}
	word := offset << 3
	if more {
		word |= 1
	}
	binary.BigEndian.PutUint16(head[2:], word)
	return extended(b, byte(layers.IPProtocolIPv6Fragment), head)
}

// fixSum computes the checksum of an IPv4 header anew (RFC 791).
func fixSum(head []byte) {
	binary.BigEndian.PutUint16(head[10:], 0)
	sum := uint32(0)
	for i := 0; i < len(head); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(head[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(head[10:], ^uint16(sum))
}

// extended puts an extension header of 8 bytes before UDP.
func extended(b []byte, kind byte, head []byte) []byte {
	out := append(append(append([]byte(nil), b[:54]...), head...), b[54:]...)
	out[14+6] = kind
	binary.BigEndian.PutUint16(out[14+4:], binary.BigEndian.Uint16(b[14+4:])+8)
	return out
}

func withExtension(src, dst netip.Addr) []byte {
	return extended(datagram(src, dst, linkPort, "x"), byte(layers.IPProtocolIPv6Destination), []byte{byte(layers.IPProtocolUDP), 0, 1, 4, 0, 0, 0, 0})
}

func withOptions(src, dst netip.Addr) []byte {
	l := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
		Options: []layers.IPv4Option{{OptionType: 1}, {OptionType: 1}, {OptionType: 1}, {OptionType: 1}},
	}
	u := &layers.UDP{SrcPort: 40000, DstPort: linkPort}
	_ = u.SetNetworkLayerForChecksum(l)
	return frame(ethernet(mac(nodeMAC), layers.EthernetTypeIPv4), l, u, gopacket.Payload("x"))
}

func tagged(b []byte) []byte {
	out := append(append([]byte(nil), b[:12]...), 0x81, 0x00, 0, 7)
	return append(out, b[12:]...)
}

// outward turns a frame towards the node into one away from it.
func outward(b []byte) []byte {
	out := append([]byte(nil), b...)
	copy(out, mac(peerMAC))
	copy(out[6:], mac(nodeMAC))
	return out
}
