package netlab

import (
	"net/netip"
	"strconv"
	"testing"
)

// Interfaces of a Link.
const (
	NearDiode = "dtx0"
	FarDiode  = "drx0"
)

// LinkOptions say what a Link is like.
type LinkOptions struct {
	MTU  int  // bytes; 0 = 1500
	IPv6 bool // IPv4 otherwise
}

// Link is a one-way link alone:
//
//	 near               wire               far
//	┌────────┐      ┌────────────┐      ┌────────┐
//	│   dtx0 ├─────>│ in0 → out0 ├─────>│ drx0   │
//	└────────┘      │ OneWay     │      └────────┘
//	                └────────────┘
//
// Nothing comes back, neighbours are static, and offloads are off in the
// middle, so that every frame on the wire is one that a real card could send.
type Link struct {
	*Lab
	*OneWay
	Near, Wire, Far   *Namespace
	NearAddr, FarAddr netip.Addr
}

// NewLink builds a link. It skips the test where labs cannot be built.
func NewLink(tb testing.TB, o LinkOptions) *Link {
	tb.Helper()
	l := New(tb)
	k := &Link{Lab: l, Near: l.Namespace("near"), Wire: l.Namespace("wire"), Far: l.Namespace("far")}
	near, far := netip.MustParsePrefix("10.78.0.1/24"), netip.MustParsePrefix("10.78.0.2/24")
	if o.IPv6 {
		near, far = netip.MustParsePrefix("fd00:78::1/64"), netip.MustParsePrefix("fd00:78::2/64")
	}
	k.NearAddr, k.FarAddr = near.Addr(), far.Addr()
	l.Cable(End{In: k.Near, Name: NearDiode}, End{In: k.Wire, Name: "in0"})
	l.Cable(End{In: k.Wire, Name: "out0"}, End{In: k.Far, Name: FarDiode})
	if o.MTU > 0 {
		k.setMTU(o.MTU)
	}
	k.Near.AddAddr(NearDiode, near)
	k.Far.AddAddr(FarDiode, far)
	k.OneWay = k.Wire.Forward("in0", "out0")
	k.Near.StaticNeighbour(NearDiode, far.Addr(), k.Far.MAC(FarDiode))
	k.Far.StaticNeighbour(FarDiode, near.Addr(), k.Near.MAC(NearDiode))
	k.Far.Nft(`
table netdev diode {
	chain out {
		type filter hook egress device "` + FarDiode + `" priority 0
		counter drop
	}
}
`)
	return k
}

func (k *Link) setMTU(mtu int) {
	k.t.Helper()
	for _, e := range []struct {
		in   *Namespace
		name string
	}{{k.Near, NearDiode}, {k.Wire, "in0"}, {k.Wire, "out0"}, {k.Far, FarDiode}} {
		e.in.Run("ip", "link", "set", e.name, "mtu", strconv.Itoa(mtu))
	}
}
