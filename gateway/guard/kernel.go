package guard

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// kernel is what the guard needs of the machine: the interfaces as they are,
// a sign that they may have changed, and the way out to an address.
type kernel interface {
	// Links lists every interface with its addresses.
	Links() ([]link, error)
	// Subscribe returns a channel that yields once after one or many changes.
	// The channel is closed when events may have been lost or when ctx has
	// ended; whoever receives that must not trust its last list any more.
	Subscribe(ctx context.Context) (<-chan struct{}, error)
	// Route returns the index of the interface that a packet to dst leaves by.
	Route(dst netip.Addr) (int, error)
}

// link is one interface as the kernel shows it.
type link struct {
	index    int
	name     string
	altNames []string
	mac      string // current hardware address; empty when it has none
	permMAC  string // burned-in address; empty when the driver tells none
	kind     string // netlink's kind: device, bridge, bond, vlan, veth …
	path     string // device path below /sys/devices; empty for virtual interfaces
	up       bool
	carrier  bool // the driver sees light or a cable's other end; false while down
	noARP    bool // the kernel asks nobody for hardware addresses on it
	mtu      int  // bytes
	txQueue  int  // frames; 0 = the kernel keeps no queue for it
	loopback bool
	master   int // index of the bridge, bond or VRF that holds it; 0 = none
	parent   int // index of the interface that it is stacked on; 0 = none
	addrs    []netip.Prefix
}

// identity is what must stay the same for an interface to count as the same
// one after it went away and came back.
type identity struct {
	name, mac, kind string
}

func (l link) identity() identity {
	mac := l.permMAC
	if mac == "" {
		mac = l.mac
	}
	return identity{l.name, mac, l.kind}
}

// describe prints the names by which a rule could name the interface.
func (l link) describe() string {
	parts := append([]string{l.name}, l.altNames...)
	if l.mac != "" {
		parts = append(parts, "mac:"+l.mac)
	}
	if l.path != "" {
		parts = append(parts, "path:"+l.path)
	}
	return fmt.Sprintf("%s (%s)", strings.Join(parts, " = "), l.kind)
}
