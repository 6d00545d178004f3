package guard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

const (
	// eventBuffer is the receive buffer of the event socket in bytes. From
	// design measurements: 5000 link events with a stalled reader overrun the
	// default of 208 KiB; 4 MiB holds them.
	eventBuffer = 4 << 20

	// dumpTries bounds how often an interface list is read again because it
	// changed while it was read. Ours.
	dumpTries = 8

	// sysfsNet is where sysfs shows the device behind an interface.
	sysfsNet     = "/sys/class/net"
	sysfsDevices = "/sys/devices/"
)

// machine is the real kernel, in the network namespace of the process.
type machine struct{ watcher }

func realKernel() (system, error) { return machine{machineWatcher()}, nil }

// Links implements kernel.
func (machine) Links() ([]link, error) {
	var err error
	for range dumpTries {
		var links []link
		if links, err = listOnce(); err == nil {
			return links, nil
		}
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return nil, fmt.Errorf("guard: list interfaces: %w", err)
}

func listOnce() ([]link, error) {
	found, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	addrs, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	byIndex := map[int][]netip.Prefix{}
	for _, a := range addrs {
		if p, ok := prefix(a.IPNet); ok {
			byIndex[a.LinkIndex] = append(byIndex[a.LinkIndex], p)
		}
	}
	links := make([]link, 0, len(found))
	for _, f := range found {
		l := convert(f)
		l.addrs = byIndex[l.index]
		links = append(links, l)
	}
	return links, nil
}

func convert(f netlink.Link) link {
	a := f.Attrs()
	return link{
		index:    a.Index,
		name:     a.Name,
		altNames: a.AltNames,
		mac:      hardware(a.HardwareAddr),
		permMAC:  hardware(a.PermHWAddr),
		kind:     f.Type(),
		path:     devicePath(a.Name),
		up:       a.Flags&net.FlagUp != 0,
		carrier:  a.RawFlags&unix.IFF_LOWER_UP != 0,
		noARP:    a.RawFlags&unix.IFF_NOARP != 0,
		mtu:      a.MTU,
		txQueue:  a.TxQLen,
		loopback: a.Flags&net.FlagLoopback != 0,
		master:   a.MasterIndex,
		parent:   parent(f),
	}
}

// parent returns the interface that f is stacked on. An index of another
// namespace means nothing here. For a veth the kernel tells the other end of
// the cable in the same attribute, and the ports of a DSA switch are kept
// apart by the switch itself: neither is a path for frames inside this kernel.
func parent(f netlink.Link) int {
	a := f.Attrs()
	switch f.Type() {
	case "veth", "netkit", "dsa":
		return 0
	}
	if a.NetNsID >= 0 {
		return 0
	}
	return a.ParentIndex
}

func prefix(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	addr, ok := netip.AddrFromSlice(n.IP)
	ones, _ := n.Mask.Size()
	return netip.PrefixFrom(addr.Unmap(), ones), ok
}

func hardware(mac net.HardwareAddr) string {
	for _, b := range mac {
		if b != 0 {
			return mac.String()
		}
	}
	return ""
}

// devicePath is empty for interfaces without a device, and where sysfs shows
// another network namespace.
func devicePath(name string) string {
	path, err := filepath.EvalSymlinks(filepath.Join(sysfsNet, name, "device"))
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(path, sysfsDevices)
}

// Subscribe implements kernel. The events themselves are not looked at: the
// list that follows is the truth, an event is only the reason to read it.
func (machine) Subscribe(ctx context.Context) (<-chan struct{}, error) {
	s, err := nl.Subscribe(unix.NETLINK_ROUTE, unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR)
	if err != nil {
		return nil, fmt.Errorf("guard: subscribe to interface events: %w", err)
	}
	if s.SetReceiveBufferSize(eventBuffer, true) != nil {
		// Without the privilege the kernel grants what net.core.rmem_max
		// allows; an overrun is noticed and only costs a full list.
		_ = s.SetReceiveBufferSize(eventBuffer, false)
	}
	dirty := make(chan struct{}, 1)
	go readEvents(ctx, s, dirty)
	return dirty, nil
}

// readEvents ends, and closes dirty, with the first receive error: ENOBUFS
// says that events were lost.
func readEvents(ctx context.Context, s *nl.NetlinkSocket, dirty chan<- struct{}) {
	defer close(dirty)
	stop := context.AfterFunc(ctx, s.Close)
	defer func() {
		if stop() {
			s.Close()
		}
	}()
	for {
		if _, _, err := s.Receive(); err != nil {
			return
		}
		select {
		case dirty <- struct{}{}:
		default: // already marked
		}
	}
}

// Route implements kernel.
func (machine) Route(dst netip.Addr) (int, error) {
	if zone := dst.Zone(); zone != "" {
		return zoneIndex(dst, zone)
	}
	routes, err := netlink.RouteGet(net.IP(dst.Unmap().AsSlice()))
	if err != nil {
		return 0, fmt.Errorf("guard: route to %s: %w", dst, err)
	}
	if len(routes) == 0 || routes[0].LinkIndex == 0 {
		return 0, fmt.Errorf("guard: route to %s: %w", dst, unix.ENETUNREACH)
	}
	return routes[0].LinkIndex, nil
}

// zoneIndex reads a zone as the net package does: a name, else a number.
func zoneIndex(dst netip.Addr, zone string) (int, error) {
	i, err := net.InterfaceByName(zone)
	if err == nil {
		return i.Index, nil
	}
	if index, notNumber := strconv.Atoi(zone); notNumber == nil && index > 0 {
		return index, nil
	}
	return 0, fmt.Errorf("guard: zone of %s: %w", dst, err)
}

// Neighbour implements neighbours.
func (machine) Neighbour(index int, addr netip.Addr) (neighbour, error) {
	entries, err := netlink.NeighList(index, familyOf(addr))
	if err != nil {
		return neighbour{}, fmt.Errorf("guard: neighbours of interface %d: %w", index, err)
	}
	for _, e := range entries {
		if found, ok := netip.AddrFromSlice(e.IP); ok && found.Unmap() == addr && e.LinkIndex == index {
			return neighbour{hardware(e.HardwareAddr), e.State&unix.NUD_PERMANENT != 0}, nil
		}
	}
	return neighbour{}, nil
}

// SetNeighbour implements neighbours.
func (machine) SetNeighbour(index int, addr netip.Addr, mac net.HardwareAddr) error {
	err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: familyOf(addr), State: unix.NUD_PERMANENT,
		IP: addr.AsSlice(), HardwareAddr: mac,
	})
	if err != nil {
		return fmt.Errorf("guard: set neighbour %s of interface %d: %w", addr, index, err)
	}
	return nil
}

func familyOf(addr netip.Addr) int {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
