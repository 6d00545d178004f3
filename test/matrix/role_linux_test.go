package matrix_test

import (
	"net/netip"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// linkPort is where one-way links of this package arrive.
const linkPort = 5760

// monitoring is the role whose table has every column.
const monitoring = "monitoring"

// role is what the guarded interface is, with the policy that says so.
type role struct {
	name   string
	policy guard.Policy
	// addresses that the interface has from the beginning
	addresses []netip.Prefix
	columns   []string
}

// roles lists them; the rows are the same for each.
func roles() []role {
	near, far := netip.AddrPortFrom(ownAddr().Addr(), linkPort), netip.AddrPortFrom(netlab.MonitorAddr().Addr(), linkPort)
	receive := func(capture bool) guard.Policy {
		return guard.Policy{Node: "matrix", DiodeRX: only(guarded), ReceiveEnds: []guard.ReceiveEnd{
			{Interface: guarded, Source: far.Addr(), Listen: near, Capture: capture},
		}}
	}
	both := []string{nothing, all}
	own := []netip.Prefix{ownAddr(), ownAddr6()}
	return []role{
		{monitoring, guard.Policy{Node: "matrix", Monitoring: only(guarded)}, nil, columns()},
		{"diode-rx", receive(false), own, both},
		// Without a defence it is what a monitoring point is.
		{"diode-rx, capturing", receive(true), nil, only(all)},
		{"diode-tx", guard.Policy{Node: "matrix", DiodeTX: only(guarded), SendEnds: []guard.SendEnd{
			{Interface: guarded, Source: near.Addr(), Destination: far, MAC: mac(peerMAC)},
		}}, own, both},
	}
}

// columns lists the defences of the table.
func columns() []string { return []string{nothing, usual, nftOnly, tcOnly, all} }
