package guard

import "fmt"

// What a sending end wants of the kernel.
const (
	// wantTxQueue is the kernel's default for Ethernet, in frames.
	wantTxQueue = 1000
	// wantSendMemory is the kernel's own default for net.core.wmem_max, in
	// bytes: it holds three bursts of 64 KiB.
	wantSendMemory = 212992
)

func (e *exam) send() {
	e.address("source", e.q.Source, fmt.Sprintf("ip address add %s dev %s with the length of its network, or correct source", e.q.Source, e.link.name))
	e.neighbour()
	e.arp("questions")
	e.txQueue()
	if d, ok := e.device(); ok {
		e.rings(d)
		e.segmentation(d)
	}
	e.sysctlAtLeast("send memory", "net.core.wmem_max", wantSendMemory, "bytes")
}

func (e *exam) neighbour() {
	end := SendEnd{Interface: e.q.Interface, Destination: e.q.Address, MAC: e.q.MAC}
	if !end.needsNeighbour(e.link) {
		e.ok("neighbour", "none is needed on "+e.link.name)
		return
	}
	addr := e.q.Address.Addr().Unmap().WithZone("")
	found, err := e.g.neighbours.Neighbour(e.link.index, addr)
	byHand := fmt.Sprintf("set destination_mac, or: ip neighbour replace %s lladdr MAC dev %s nud permanent", addr, e.link.name)
	switch {
	case err != nil:
		e.bad("neighbour", err.Error(), "see the kernel's log")
	case len(e.q.MAC) > 0 && found.mac != e.q.MAC.String():
		e.bad("neighbour", fmt.Sprintf("%s is at %s, not at %s", addr, orNone(found.mac), e.q.MAC),
			"start the guard's warden, or let Sluice have CAP_NET_ADMIN: either makes the entry; the interface must be up")
	case found.mac == "":
		e.bad("neighbour", fmt.Sprintf("no entry for %s, and over a one-way link nobody answers a question for it", addr), byHand)
	case !found.permanent:
		e.bad("neighbour", fmt.Sprintf("%s is at %s, but the entry will age and nobody will confirm it", addr, found.mac), byHand)
	default:
		e.ok("neighbour", fmt.Sprintf("%s is at %s, permanently", addr, found.mac))
	}
}

func orNone(mac string) string {
	if mac == "" {
		return "no known address"
	}
	return mac
}

// arp wants no frames to leave but those of the link. What they would be
// depends on the side.
func (e *exam) arp(what string) {
	if e.link.noARP || e.link.loopback {
		e.ok("arp", "off: no "+what+" about addresses leave by "+e.link.name)
		return
	}
	e.warn("arp", "on: "+what+" about addresses may leave by "+e.link.name, "ip link set "+e.link.name+" arp off")
}

func (e *exam) txQueue() {
	n := e.link.txQueue
	if n > 0 && n < wantTxQueue {
		e.warn("transmit queue", fmt.Sprintf("%d frames", n), fmt.Sprintf("ip link set %s txqueuelen %d", e.link.name, wantTxQueue))
		return
	}
	e.ok("transmit queue", fmt.Sprintf("%d frames", n))
}

// segmentation says what a burst costs. The kernel cuts bursts itself when
// the card cannot, but not without the card computing checksums.
func (e *exam) segmentation(d device) {
	sums := d.features["tx-checksum-ip-generic"] || d.features["tx-checksum-ipv4"] && d.features["tx-checksum-ipv6"]
	switch {
	case !sums:
		e.warn("segmentation", "checksum offload is off: bursts may be refused, and frames then leave one by one at about three times the cost",
			"ethtool -K "+e.link.name+" tx on, if the card can")
	case d.features["tx-udp-segmentation"]:
		e.ok("segmentation", "by the card (tx-udp-segmentation)")
	default:
		e.ok("segmentation", "by the kernel: about 1 CPU second per GB; cards with tx-udp-segmentation do it for nothing")
	}
}
