package netlab

import (
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// ToPort wants TCP and UDP frames with that port at either end.
func ToPort(port uint16) func(gopacket.Packet) bool {
	return func(p gopacket.Packet) bool {
		switch l := p.TransportLayer().(type) {
		case *layers.UDP:
			return uint16(l.DstPort) == port || uint16(l.SrcPort) == port
		case *layers.TCP:
			return uint16(l.DstPort) == port || uint16(l.SrcPort) == port
		}
		return false
	}
}
