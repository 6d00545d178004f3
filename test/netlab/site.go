package netlab

import (
	"net/netip"
	"testing"
)

// Site is a plant with a one-way link to its DMZ; see the package's drawing.
// The monitoring interface of the plant has no IPv4 address.
type Site struct {
	*Lab
	Endpoint, Plant, Monitor, Forwarder, DMZ, KICS *Namespace
	Link                                           *OneWay // loss and counters of the one-way link
}

// Interfaces of a Site.
const (
	PlantService    = "svc0" // plant, towards the endpoint
	PlantMonitoring = "mon0" // plant, towards the monitor
	PlantDiode      = "dtx0" // plant, sends
	DMZDiode        = "drx0" // DMZ, receives
	DMZService      = "svc0" // DMZ, towards KICS
	PeerInterface   = "eth0" // endpoint, monitor and KICS
)

// Addresses of a Site.
func address(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// EndpointAddr and the following are the addresses of the site's interfaces.
func EndpointAddr() netip.Prefix { return address("192.168.10.10/24") }

// EndpointAddr6 is the endpoint's IPv6 address.
func EndpointAddr6() netip.Prefix { return address("fd00:10::10/64") }

// PlantAddr is the plant's service address.
func PlantAddr() netip.Prefix { return address("192.168.10.1/24") }

// PlantAddr6 is the plant's IPv6 service address.
func PlantAddr6() netip.Prefix { return address("fd00:10::1/64") }

// MonitorAddr is the address of the monitor, the attacker of the site.
func MonitorAddr() netip.Prefix { return address("10.66.0.2/24") }

// MonitorAddr6 is its IPv6 address.
func MonitorAddr6() netip.Prefix { return address("fd00:66::2/64") }

// PlantDiodeAddr is the address that the one-way link sends from.
func PlantDiodeAddr() netip.Prefix { return address("10.77.0.1/24") }

// DMZDiodeAddr is the address that it sends to.
func DMZDiodeAddr() netip.Prefix { return address("10.77.0.2/24") }

// DMZAddr is the DMZ's service address.
func DMZAddr() netip.Prefix { return address("192.168.20.1/24") }

// KICSAddr is the address of the KICS node.
func KICSAddr() netip.Prefix { return address("192.168.20.2/24") }

// NewSite builds the site. It skips the test where labs cannot be built.
func NewSite(tb testing.TB) *Site {
	tb.Helper()
	l := New(tb)
	s := &Site{
		Lab: l, Endpoint: l.Namespace("endpoint"), Plant: l.Namespace("plant"), Monitor: l.Namespace("monitor"),
		Forwarder: l.Namespace("forwarder"), DMZ: l.Namespace("dmz"), KICS: l.Namespace("kics"),
	}
	one := func(p ...netip.Prefix) []netip.Prefix { return p }
	l.Cable(End{In: s.Endpoint, Name: PeerInterface, Addrs: one(EndpointAddr(), EndpointAddr6())},
		End{In: s.Plant, Name: PlantService, Addrs: one(PlantAddr(), PlantAddr6())})
	l.Cable(End{In: s.Monitor, Name: PeerInterface, Addrs: one(MonitorAddr(), MonitorAddr6())},
		End{In: s.Plant, Name: PlantMonitoring})
	l.Cable(End{In: s.DMZ, Name: DMZService, Addrs: one(DMZAddr())},
		End{In: s.KICS, Name: PeerInterface, Addrs: one(KICSAddr())})
	s.diode()
	return s
}

// diode lays the one-way link: the forwarder passes nothing back, neighbours
// are static, and the DMZ drops what it would send by it.
func (s *Site) diode() {
	s.t.Helper()
	s.Cable(End{In: s.Plant, Name: PlantDiode}, End{In: s.Forwarder, Name: "in0"})
	s.Cable(End{In: s.Forwarder, Name: "out0"}, End{In: s.DMZ, Name: DMZDiode})
	s.Plant.Sysctl("net.ipv6.conf."+PlantDiode+".disable_ipv6", "1")
	s.DMZ.Sysctl("net.ipv6.conf."+DMZDiode+".disable_ipv6", "1")
	s.Plant.AddAddr(PlantDiode, PlantDiodeAddr())
	s.DMZ.AddAddr(DMZDiode, DMZDiodeAddr())
	s.Link = s.Forwarder.Forward("in0", "out0")
	s.Plant.StaticNeighbour(PlantDiode, DMZDiodeAddr().Addr(), s.DMZ.MAC(DMZDiode))
	s.DMZ.StaticNeighbour(DMZDiode, PlantDiodeAddr().Addr(), s.Plant.MAC(PlantDiode))
	s.DMZ.Nft(`
table netdev diode {
	chain out {
		type filter hook egress device "` + DMZDiode + `" priority 0
		counter drop
	}
}
`)
}
