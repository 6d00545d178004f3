package capture

import (
	"encoding/binary"
	"math/bits"

	"github.com/google/gopacket/layers"
)

// sumRight is what a sum over data and its checksum folds to (RFC 1071).
const sumRight = 0xffff

// sum adds b to a ones' complement sum, eight bytes at a time: the sum of
// larger words folds to the same (RFC 1071, section 2).
func sum(s uint64, b []byte) uint64 {
	var carry uint64
	for ; len(b) >= 8; b = b[8:] {
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(b), carry)
	}
	if len(b) > 0 {
		var last [8]byte
		copy(last[:], b)
		s, carry = bits.Add64(s, binary.BigEndian.Uint64(last[:]), carry)
	}
	s, carry = bits.Add64(s, 0, carry)
	return s + carry
}

// fold brings a sum down to 16 bits.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// checksumRight verifies the UDP checksum over segment, header included. Over
// IPv4 a zero means that the sender computed none (RFC 768); over IPv6 it is
// forbidden (RFC 8200, section 8.1).
func (d *decoder) checksumRight(src, dst, segment []byte) bool {
	if d.udp.Checksum == 0 {
		return !d.ipv6
	}
	var pseudo [8]byte
	binary.BigEndian.PutUint32(pseudo[:], uint32(len(segment)))
	pseudo[7] = byte(layers.IPProtocolUDP)
	s := sum(sum(sum(0, src), dst), pseudo[:])
	return fold(sum(s, segment)) == sumRight
}
