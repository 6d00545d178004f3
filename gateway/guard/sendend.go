package guard

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// SendEnd is the near end of one one-way link, as far as the guard keeps it
// in order: nothing answers on such a link, so nobody can be asked for the
// hardware address of the far end.
type SendEnd struct {
	Interface   string           // the rule that stands in Policy.DiodeTX
	Source      netip.Addr       // that the link sends from; zero = any
	Destination netip.AddrPort   // where the link sends to
	MAC         net.HardwareAddr // of Destination, kept as a permanent neighbour; nil = such an entry exists already
	MTU         int              // bytes of the largest IP packet that the link sends; 0 = not checked
}

func (e SendEnd) key() endKey { return endKey{e.Interface, e.Destination} }

// endKey names one SendEnd.
type endKey struct {
	rule string
	dest netip.AddrPort
}

// String prints what the guard keeps.
func (e SendEnd) String() string {
	by := "an entry that exists"
	if len(e.MAC) > 0 {
		by = e.MAC.String()
	}
	return fmt.Sprintf("%s to %s by %s, mtu %d", e.Interface, e.Destination, by, e.MTU)
}

// needsNeighbour reports whether frames to the destination need an entry: not
// where there are no hardware addresses, and not to a group.
func (e SendEnd) needsNeighbour(l link) bool {
	addr := e.Destination.Addr()
	return !l.loopback && l.mac != "" && !addr.IsMulticast() && addr != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// checkEnds refuses ends that mean nothing on any machine.
func (p Policy) checkEnds() error {
	macs := map[endKey]string{}
	for _, e := range p.SendEnds {
		if !slices.Contains(p.DiodeTX, e.Interface) {
			return fmt.Errorf("guard: link to %s sends by %q, which is no sending interface of this node", e.Destination, e.Interface)
		}
		if !e.Destination.IsValid() || e.Destination.Port() == 0 {
			return fmt.Errorf("guard: link by %q: destination %s: want an address and a port", e.Interface, e.Destination)
		}
		if len(e.MAC) != 0 && len(e.MAC) != 6 {
			return fmt.Errorf("guard: link by %q: hardware address %s is not one of Ethernet", e.Interface, e.MAC)
		}
		host := endKey{e.Interface, netip.AddrPortFrom(e.Destination.Addr(), 0)}
		if other, ok := macs[host]; ok && other != e.MAC.String() {
			return fmt.Errorf("guard: links by %q give %s two hardware addresses, %q and %q: it can have one", e.Interface, host.dest.Addr(), other, e.MAC)
		}
		macs[host] = e.MAC.String()
	}
	return nil
}

func sameEnds(a, b []SendEnd) bool { return slices.Equal(set(endTexts(a)), set(endTexts(b))) }

func endTexts(ends []SendEnd) []string {
	out := make([]string, 0, len(ends))
	for _, e := range ends {
		out = append(out, e.String())
	}
	return out
}

// endsText is what Policy.String says of the ends: nothing when there are
// none.
func endsText(ends []SendEnd) string {
	if len(ends) == 0 {
		return ""
	}
	return "; ends " + strings.Join(endTexts(ends), ", ")
}
