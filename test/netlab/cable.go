package netlab

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// End is one end of a cable.
type End struct {
	In    *Namespace
	Name  string         // of the interface, at most 15 bytes
	MAC   string         // empty: the kernel's choice
	Addrs []netip.Prefix // without duplicate address detection
}

// Cable connects two namespaces by a veth pair and sets both ends up. Their
// segmentation offloads are off, so that every frame on it is one that a real
// card could send: with them a veth passes 64 KiB at once, and a rule that
// drops at random drops forty datagrams in a row.
func (l *Lab) Cable(a, b End) {
	l.t.Helper()
	tmp := l.count.Add(1)
	// Both ends are made under the names of their namespaces at once, so that
	// nothing appears in the namespace of this process.
	a.In.Run("ip", "link", "add", a.Name, "type", "veth", "peer", "name", b.Name, "netns", b.In.Name)
	for i, e := range []End{a, b} {
		mac := e.MAC
		if mac == "" {
			mac = fmt.Sprintf("02:6e:6c:%02x:%02x:%02x", byte(tmp>>8), byte(tmp), i)
		}
		e.In.Run("ip", "link", "set", e.Name, "address", mac)
		e.In.OffloadsOff(e.Name)
		e.In.Up(e.Name)
		for _, addr := range e.Addrs {
			e.In.AddAddr(e.Name, addr)
		}
	}
}

// Up sets an interface up.
func (n *Namespace) Up(iface string) {
	n.t.Helper()
	n.Run("ip", "link", "set", iface, "up")
}

// AddAddr gives an interface an address that can be used at once.
func (n *Namespace) AddAddr(iface string, addr netip.Prefix) {
	n.t.Helper()
	args := []string{"addr", "add", addr.String(), "dev", iface}
	if addr.Addr().Is6() {
		args = append(args, "nodad")
	}
	n.Run("ip", args...)
}

// OffloadsOff turns segmentation and its reverse off.
func (n *Namespace) OffloadsOff(iface string) {
	n.t.Helper()
	n.Run("ethtool", "-K", iface, "tso", "off", "gso", "off", "gro", "off", "tx-udp-segmentation", "off")
}

// MAC returns the hardware address of an interface.
func (n *Namespace) MAC(iface string) string {
	n.t.Helper()
	return strings.TrimSpace(n.Run("cat", "/sys/class/net/"+iface+"/address"))
}

// Index returns the index of an interface.
func (n *Namespace) Index(iface string) int {
	n.t.Helper()
	index, err := strconv.Atoi(strings.TrimSpace(n.Run("cat", "/sys/class/net/"+iface+"/ifindex")))
	if err != nil {
		n.t.Fatalf("netlab: index of %s: %v", iface, err)
	}
	return index
}

// StaticNeighbour tells the namespace the hardware address of a neighbour and
// turns the questions for it off: over a one-way link no answer comes.
func (n *Namespace) StaticNeighbour(iface string, addr netip.Addr, mac string) {
	n.t.Helper()
	n.Run("ip", "link", "set", iface, "arp", "off")
	n.Run("ip", "neighbour", "replace", addr.String(), "lladdr", mac, "dev", iface, "nud", "permanent")
}
