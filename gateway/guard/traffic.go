package guard

import (
	"bytes"
	"encoding/binary"
	"net"
	"net/netip"
)

// headBytes is how much of each frame a look shows: Ethernet, a tag, IPv6 or
// IPv4 with options, UDP.
const headBytes = 128

// traffic is what arrived while somebody watched.
type traffic struct {
	total uint64 // frames of any kind
	ours  uint64 // of them, UDP from the source to the listening address and port, for this machine
	// UDP frames to our port that are not ours, by the first thing that is
	// different.
	otherMAC, otherSource, otherTarget tally
}

// wanted says what is ours.
type wanted struct {
	source netip.Addr // zero = any
	listen netip.AddrPort
}

// tally counts by name.
type tally map[string]uint64

// maxTally bounds the names, whatever arrives. Ours.
const maxTally = 64

func (t *tally) add(name string) {
	if *t == nil {
		*t = tally{}
	}
	if _, ok := (*t)[name]; ok || len(*t) < maxTally {
		(*t)[name]++
	}
}

// most returns the most frequent name.
func (t tally) most() (name string, count uint64) {
	for k, n := range t {
		if n > count || n == count && k < name {
			name, count = k, n
		}
	}
	return name, count
}

// take counts one frame, whole or its beginning. otherHost says that the
// kernel found it to be for another machine.
func (t *traffic) take(frame []byte, otherHost bool, w wanted) {
	t.total++
	src, dst, ok := udpTo(frame, w.listen.Port())
	if !ok || src.Is4() != w.listen.Addr().Unmap().Is4() {
		return
	}
	listen := w.listen.Addr().Unmap().WithZone("")
	switch {
	case otherHost:
		t.otherMAC.add(net.HardwareAddr(bytes.Clone(frame[:6])).String())
	case w.source.IsValid() && src != w.source.WithZone(""):
		t.otherSource.add(src.String())
	case !listen.IsUnspecified() && dst != listen:
		t.otherTarget.add(dst.String())
	default:
		t.ours++
	}
}

// udpTo returns the addresses of a frame that is UDP to port and no later
// fragment.
func udpTo(f []byte, port uint16) (src, dst netip.Addr, ok bool) {
	if len(f) >= offIP+tagBytes && binary.BigEndian.Uint16(f[offEtherType:]) == etherVLAN {
		f = f[tagBytes:]
	}
	if len(f) < offIP {
		return src, dst, false
	}
	ip := f[offIP:]
	switch binary.BigEndian.Uint16(f[offEtherType:]) {
	case etherIPv4:
		return udpTo4(ip, port)
	case etherIPv6:
		if len(ip) < 48 || ip[off6Next-offIP] != protoUDP || binary.BigEndian.Uint16(ip[off6Port-offIP:]) != port {
			return src, dst, false
		}
		return netip.AddrFrom16([16]byte(ip[8:24])), netip.AddrFrom16([16]byte(ip[24:40])), true
	}
	return src, dst, false
}

func udpTo4(ip []byte, port uint16) (src, dst netip.Addr, ok bool) {
	if len(ip) < 28 || ip[off4Protocol-offIP] != protoUDP || binary.BigEndian.Uint16(ip[off4Fragment-offIP:])&laterPart != 0 {
		return src, dst, false
	}
	udp := int(ip[0]&0x0f) * 4 // header length in words of 32 bits, RFC 791
	if udp < 20 || len(ip) < udp+8 || binary.BigEndian.Uint16(ip[udp+2:]) != port {
		return src, dst, false
	}
	return netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20])), true
}
