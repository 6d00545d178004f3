package matrix_test

import (
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/google/gopacket"
)

// stimulus is one row of the emission table.
type stimulus struct {
	name string
	// do makes the frames, or the situation in which the kernel makes them. It
	// returns a reason when the kernel lacks what it takes.
	do func(c *cell) (lacks error)
	// own wants the frames that the stimulus itself is about, so that the
	// kernel's usual chatter is no evidence of anything.
	own func(gopacket.Packet) bool
	// leaks lists the defences that let such frames out.
	leaks []string
	// trips says that the guard must trip: what it was asked to keep silent is
	// out of its hands.
	trips bool
	// races says that the guard may be faster than the frames, or trip: what
	// counts is that nothing gets out unnoticed.
	races bool
	// late says that the interface is not set up before.
	late bool
}

// How long a stimulus waits for what it may have caused.
const (
	idle    = 4 * time.Second        // as long as the kernel's greetings take
	settle  = 300 * time.Millisecond // for answers
	helloes = 2500 * time.Millisecond
	// greeting is how long a kernel takes to find its IPv6 address to be its
	// own (RFC 4862 section 5.4: 1 s, and up to 1 s of delay).
	greeting = 2200 * time.Millisecond
)

// stimuli lists the rows. What is marked "ours" was not tried when the
// requirement was written.
func stimuli() []stimulus {
	return append([]stimulus{
		{name: "up, 4 s idle", own: anything, late: true, leaks: only(nothing), do: goUp},
		{name: "5 flaps", own: anything, late: true, leaks: only(nothing), do: flap},
		{name: "scan over IPv4", own: answers, leaks: only(nothing, usual), do: scan4},
		{name: "scan over IPv6", own: answers, leaks: only(nothing), do: scan6},
		{name: "scan, spoofed sources", own: answers, leaks: only(nothing, usual), do: scanSpoofed},
		{name: "addresses added, then scan", own: answers, leaks: only(nothing, usual), do: scanAddressed},
		{name: "UDP by SO_BINDTODEVICE", own: answers, leaks: only(nothing, usual), do: udpBound},
		{name: "UDP by IP_PKTINFO", own: answers, leaks: only(nothing, usual), do: udpChosen},
		{name: "multicast join", own: groups, leaks: only(nothing, usual), do: joinGroups},
		{name: "AF_PACKET", own: marked(stimulusMark), leaks: only(nothing, usual), do: packet},
		{name: "AF_PACKET, QDISC_BYPASS", own: marked(stimulusMark), leaks: only(nothing, usual, tcOnly), do: packetBypass},
		{name: "enslaved to a bridge with STP", own: anything, leaks: only(nothing, usual), do: bridge},
		{name: "macvlan on it", own: marked(stimulusMark), leaks: only(nothing, usual), do: child("macvlan", "mode bridge")},
		{name: "ipvlan on it", own: marked(stimulusMark), leaks: only(nothing, usual), do: child("ipvlan", "mode l2")},
		{name: "VLAN on it", own: anything, leaks: only(nothing, usual), do: child("vlan", "id 7")},
		{name: "renamed", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly), do: renamed},
		{name: "deleted and created again", own: marked(stimulusMark), leaks: only(nothing, usual, tcOnly), do: recreated},
		{name: "nft flush ruleset", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly), do: flushed},
		{name: "moved to a fresh namespace", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly, tcOnly, all), trips: true, do: movedFresh},
		{name: "moved to a prepared namespace", own: marked(stimulusMark), trips: true, do: movedPrepared},
		{name: "AF_XDP", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly, tcOnly, all), trips: true, do: afXDP},
	}, oursToo()...)
}

// oursToo lists rows that the requirement does not have.
func oursToo() []stimulus {
	return []stimulus{
		{name: "XDP program sends back", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly, tcOnly, all), trips: true, do: xdpReflect},
		{name: "XDP redirect, driver", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly, tcOnly, all), trips: true, do: xdpRedirect(link.XDPDriverMode)},
		{name: "XDP redirect, generic", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly, tcOnly, all), trips: true, do: xdpRedirect(link.XDPGenericMode)},
		{name: "gone, another takes its name", own: marked(stimulusMark), leaks: only(nothing, usual, tcOnly), do: succeeded},
		{name: "tc qdisc del", own: marked(stimulusMark), leaks: only(nothing, usual, tcOnly), do: qdiscDeleted},
		{name: "tc filter before ours", own: marked(stimulusMark), leaks: only(nothing, usual, tcOnly), do: filterBefore},
		{name: "tcx program before ours", own: marked(stimulusMark), leaks: only(nothing, usual, tcOnly), races: true, do: tcxBefore},
		{name: "tc mirred from another interface", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly), do: mirred},
		{name: "tcx program, and tc mirred", own: marked(stimulusMark), leaks: only(nothing, usual, nftOnly, tcOnly), races: true, do: mirredPastTCX},
		{name: "nft fwd from another interface", own: marked(stimulusMark), leaks: only(nothing, usual), do: forwarded},
		{name: "macvtap on it", own: marked(stimulusMark), leaks: only(nothing, usual), do: child("macvtap", "mode bridge")},
		{name: "settings undone, then scan", own: answers, leaks: only(nothing, usual), do: undone},
	}
}

func only(defences ...string) []string { return defences }
