package fence

import (
	"slices"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// setting is one of an interface that keeps the kernel from wanting to talk:
// the flag "arp" or "multicast", or an element of /proc/sys/net/*/conf/NAME
// (ip-sysctl.rst) as "ipv4/arp_ignore".
type setting struct {
	name string
	want string
	// least: any greater value is as good.
	least bool
}

const (
	on  = "on"
	off = "off"
)

// quiet are the settings of a target, in the order in which they are made.
func (t Target) quiet() []setting {
	out := []setting{{name: "arp", want: off}}
	if !t.multicast() {
		out = append(out, setting{name: "multicast", want: off})
	}
	out = append(out,
		setting{name: "ipv4/arp_ignore", want: "8"},   // answers for no local address
		setting{name: "ipv4/arp_announce", want: "2"}, // names no address of another interface
		setting{name: "ipv4/proxy_arp", want: "0"},
		setting{name: "ipv4/forwarding", want: "0"},
		setting{name: "ipv4/send_redirects", want: "0"},
	)
	if t.Role != guard.DiodeRX { // there the sender's address need not be routed
		out = append(out, setting{name: "ipv4/rp_filter", want: "1", least: true})
	}
	if t.ipv6() {
		return append(out, quiet6()...)
	}
	// The second counts should somebody turn IPv6 on again.
	return append(out, setting{name: "ipv6/disable_ipv6", want: "1"}, setting{name: "ipv6/addr_gen_mode", want: "1"})
}

// quiet6 leaves IPv6 on for a one-way link that needs it, and silences what
// IPv6 says on its own.
func quiet6() []setting {
	return []setting{
		{name: "ipv6/keep_addr_on_down", want: "1"},
		{name: "ipv6/addr_gen_mode", want: "1"}, // no link-local address
		{name: "ipv6/accept_ra", want: "0"},
		{name: "ipv6/autoconf", want: "0"},
		{name: "ipv6/dad_transmits", want: "0"},
		{name: "ipv6/router_solicitations", want: "0"},
		{name: "ipv6/forwarding", want: "0"},
	}
}

// ipv6 reports whether a flow of the target needs IPv6.
func (t Target) ipv6() bool {
	return slices.ContainsFunc(slices.Concat(t.Send, t.Receive), func(f Flow) bool { return f.Dest.Addr().Is6() })
}

// multicast reports whether a flow goes to a group.
func (t Target) multicast() bool {
	return slices.ContainsFunc(slices.Concat(t.Send, t.Receive), func(f Flow) bool { return f.Dest.Addr().IsMulticast() })
}

// met reports whether a value is as good as the wanted one. What the kernel
// does not have cannot talk.
func (s setting) met(value string, there bool) bool {
	if !there || value == s.want {
		return true
	}
	return s.least && len(value) == 1 && value > s.want
}
