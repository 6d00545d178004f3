package fence

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// sysctlRoot is where the kernel shows its settings, those of the network
// namespace of whoever looks.
const sysctlRoot = "/proc/sys/net"

// listTries bounds how often a list is asked for again because it changed
// while it was read. Ours.
const listTries = 8

// readLinks reads the interfaces that are asked for, and who is related to
// them.
func (k *linuxKernel) readLinks(s *state, indexes []int) error {
	all, err := settled(k.links.LinkList)
	if err != nil {
		return err
	}
	names, wanted := map[int]string{}, map[int]bool{}
	for _, l := range all {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	for _, index := range indexes {
		wanted[index] = true
	}
	s.links, s.settings = map[int]linkState{}, map[int]map[string]string{}
	for _, l := range all {
		a := l.Attrs()
		s.links[a.Index] = stateOf(l, all, names)
		if wanted[a.Index] {
			s.settings[a.Index] = map[string]string{
				"arp": word(a.RawFlags&unix.IFF_NOARP == 0), "multicast": word(a.RawFlags&unix.IFF_MULTICAST != 0),
			}
		}
	}
	return k.readAddresses(s)
}

// settled repeats a list until nothing changed while it was made.
func settled[T any](list func() ([]T, error)) (out []T, err error) {
	for range listTries {
		if out, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			return out, err
		}
	}
	return nil, err
}

func word(b bool) string {
	if b {
		return on
	}
	return off
}

func stateOf(l netlink.Link, all []netlink.Link, names map[int]string) linkState {
	a := l.Attrs()
	out := linkState{name: a.Name, up: a.RawFlags&unix.IFF_UP != 0, xdp: a.Xdp != nil && a.Xdp.Attached}
	if a.Statistics != nil {
		out.sent = a.Statistics.TxPackets
	}
	var relatives []string
	if a.MasterIndex != 0 {
		relatives = append(relatives, "member of "+names[a.MasterIndex])
	}
	for _, o := range all {
		switch child := o.Attrs(); {
		case child.MasterIndex == a.Index:
			relatives = append(relatives, child.Name+" is its member")
		case child.ParentIndex == a.Index && stacked(o):
			relatives = append(relatives, fmt.Sprintf("%s (%s) on it", child.Name, o.Type()))
		}
	}
	slices.Sort(relatives)
	out.relatives = strings.Join(relatives, ", ")
	return out
}

// stacked reports whether an interface sends by its parent: the parent of a
// veth is its peer.
func stacked(l netlink.Link) bool { return l.Type() != "veth" && l.Attrs().NetNsID < 0 }

func (k *linuxKernel) readAddresses(s *state) error {
	addrs, err := settled(func() ([]netlink.Addr, error) { return k.links.AddrList(nil, netlink.FAMILY_ALL) })
	if err != nil {
		return fmt.Errorf("addresses: %w", err)
	}
	for _, a := range addrs {
		ip, ok := netip.AddrFromSlice(a.IP)
		ones, _ := a.Mask.Size()
		if l, there := s.links[a.LinkIndex]; ok && there {
			l.addrs = append(l.addrs, netip.PrefixFrom(ip.Unmap(), ones))
			s.links[a.LinkIndex] = l
		}
	}
	return nil
}

func (k *linuxKernel) dropAddress(c dropAddress) error {
	addr, err := netlink.ParseAddr(c.addr.String())
	if err != nil {
		return err
	}
	return k.links.AddrDel(onLink(c.index), addr)
}

// readSettings reads those of /proc/sys.
func readSettings(s *state, wanted map[int][]setting) error {
	for index, settings := range wanted {
		l, ok := s.links[index]
		if !ok {
			continue
		}
		for _, w := range settings {
			if _, flag := s.settings[index][w.name]; flag {
				continue
			}
			value, err := os.ReadFile(w.path(l.name))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			s.settings[index][w.name] = strings.TrimSpace(string(value))
		}
	}
	return nil
}

// path is where a setting of an interface is: "ipv4/arp_ignore" in
// ipv4/conf/NAME/arp_ignore.
func (w setting) path(name string) string {
	family, key, _ := strings.Cut(w.name, "/")
	return filepath.Join(sysctlRoot, family, "conf", name, key)
}

func (k *linuxKernel) set(c set) error {
	switch c.setting.name {
	case "arp":
		return k.links.LinkSetARPOff(onLink(c.index))
	case "multicast":
		return k.links.LinkSetMulticastOff(onLink(c.index))
	}
	l, err := k.links.LinkByIndex(c.index)
	if err != nil {
		return err
	}
	// The file exists or the kernel does not have the setting.
	err = os.WriteFile(c.setting.path(l.Attrs().Name), []byte(c.setting.want), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// belongings are what an interface loses when it goes down.
type belongings struct {
	routes     []netlink.Route
	neighbours []netlink.Neigh
}

func (k *linuxKernel) setDown(c setDown) error {
	if c.keep {
		kept, err := k.belongings(c.index)
		if err != nil {
			return err
		}
		k.kept[c.index] = kept
		if err := k.set(set{c.index, setting{name: "ipv6/keep_addr_on_down", want: "1"}}); err != nil {
			return err
		}
	} else {
		delete(k.kept, c.index)
	}
	return k.links.LinkSetDown(onLink(c.index))
}

func (k *linuxKernel) belongings(index int) (belongings, error) {
	var b belongings
	routes, err := settled(func() ([]netlink.Route, error) {
		filter := &netlink.Route{LinkIndex: index, Table: unix.RT_TABLE_UNSPEC}
		return k.links.RouteListFiltered(netlink.FAMILY_ALL, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return b, fmt.Errorf("routes: %w", err)
	}
	b.routes = slices.DeleteFunc(routes, func(r netlink.Route) bool { return r.Protocol == unix.RTPROT_KERNEL })
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		all, err := settled(func() ([]netlink.Neigh, error) { return k.links.NeighList(index, family) })
		if err != nil {
			return b, fmt.Errorf("neighbours: %w", err)
		}
		b.neighbours = append(b.neighbours, slices.DeleteFunc(all, func(n netlink.Neigh) bool { return n.State&netlink.NUD_PERMANENT == 0 })...)
	}
	return b, nil
}

func (k *linuxKernel) setUp(c setUp) error {
	if err := k.links.LinkSetUp(onLink(c.index)); err != nil {
		return err
	}
	kept := k.kept[c.index]
	delete(k.kept, c.index)
	var errs []error
	for _, r := range kept.routes {
		if err := k.links.RouteReplace(&r); err != nil {
			errs = append(errs, fmt.Errorf("route %s: %w", r.Dst, err))
		}
	}
	for _, n := range kept.neighbours {
		if err := k.links.NeighSet(&n); err != nil {
			errs = append(errs, fmt.Errorf("neighbour %s: %w", n.IP, err))
		}
	}
	return errors.Join(errs...)
}
