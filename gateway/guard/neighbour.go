package guard

import (
	"fmt"
	"net"
	"net/netip"
)

// neighbours is the kernel's table of hardware addresses.
type neighbours interface {
	// Neighbour returns the entry of addr on an interface, or the zero value.
	Neighbour(index int, addr netip.Addr) (neighbour, error)
	// SetNeighbour makes an entry that stays until the interface is set down.
	SetNeighbour(index int, addr netip.Addr, mac net.HardwareAddr) error
}

// neighbour is one entry.
type neighbour struct {
	mac       string // empty: none is known
	permanent bool   // nobody asks whether it is still right, or throws it away for its age
}

// keepNeighbour makes sure that the far end of a link has a permanent entry,
// and says what is wrong when it has none. Without Options.TendNeighbours it
// only looks: the privileged half makes the entry.
func (g *Guard) keepNeighbour(l link, e SendEnd) error {
	if !e.needsNeighbour(l) {
		return nil
	}
	addr := e.Destination.Addr().Unmap().WithZone("")
	found, err := g.neighbours.Neighbour(l.index, addr)
	if err != nil {
		return &NotReadyError{Interface: l.name, Cause: err.Error(), Remedy: "see the kernel's log"}
	}
	if found.permanent && (len(e.MAC) == 0 || found.mac == e.MAC.String()) {
		return nil
	}
	if len(e.MAC) == 0 {
		return &NotReadyError{
			Interface: l.name, Cause: fmt.Sprintf("no permanent neighbour entry for %s, and over a one-way link nobody answers a question for it", addr),
			Remedy: fmt.Sprintf("set destination_mac, or make the entry: ip neighbour replace %s lladdr MAC dev %s nud permanent", addr, l.name),
		}
	}
	if !g.tendNeighbours {
		return &NotReadyError{
			Interface: l.name, Cause: fmt.Sprintf("%s is at %s, not permanently at %s", addr, orNone(found.mac), e.MAC),
			Remedy: "the guard's warden makes the entry within a second; when this lasts see its log", Passes: true,
		}
	}
	if err := g.neighbours.SetNeighbour(l.index, addr, e.MAC); err != nil {
		return &NotReadyError{
			Interface: l.name, Cause: fmt.Sprintf("neighbour entry %s at %s: %v", addr, e.MAC, err),
			Remedy: fmt.Sprintf("let Sluice have CAP_NET_ADMIN, or make the entry: ip neighbour replace %s lladdr %s dev %s nud permanent", addr, e.MAC, l.name),
		}
	}
	g.log.Info("guard: neighbour entry made", "interface", l.name, "address", addr.String(), "mac", e.MAC.String(), "was", found.mac)
	return nil
}
