package console

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// receiverTable is what an operator compares with the integration servers' table of KICS for Networks: the same
// questions, answered for each receiver.
func (p *printer) receiverTable(st Status) {
	if len(st.Receivers) == 0 {
		return
	}
	p.line("\nreceivers of node %s", st.Node)
	p.line("  receiver\tIP addresses\tTCP mode\tverify client certificate\trecords per second\tUDP mode\tencryption for UDP\texceptions")
	for _, r := range st.Receivers {
		encryption := "-"
		if r.Network == networkUDP {
			encryption = r.Encryption
		}
		p.line("  %s\t%s\t%s\t%s\t%.1f\t%s\t%s\t%s", r.Name, orDash(strings.Join(st.AddressesOf(r), ", ")), r.mode(networkTCP),
			orDash(r.VerifyClients), r.Rate, r.mode(networkUDP), encryption, orDash(strings.Join(st.exceptionsOf(r), ", ")))
	}
}

// Networks of a receiver.
const (
	networkTCP = "tcp"
	networkUDP = "udp"
)

// mode is what the receiver does in one of the two modes.
func (r Receiver) mode(network string) string {
	if r.Network != network {
		return "-"
	}
	s := fmt.Sprintf("%s on %d", r.Protocol, r.Port)
	if !slices.ContainsFunc(r.Sockets, Socket.listens) {
		s += ", not listening"
	}
	return s
}

// stateListening is a socket's word for being open.
const stateListening = "listening"

func (s Socket) listens() bool { return s.State == stateListening }

// AddressesOf lists the addresses on which endpoints reach a receiver: those of the interfaces that it listens on.
func (st Status) AddressesOf(r Receiver) []string {
	var out []netip.Addr
	for _, s := range r.Sockets {
		local, err := netip.ParseAddrPort(s.Local)
		if err != nil || !s.listens() {
			continue
		}
		if !local.Addr().IsUnspecified() {
			out = append(out, local.Addr())
			continue
		}
		for _, a := range st.addressesAt(s.Interface) {
			if a.Is4() == local.Addr().Is4() {
				out = append(out, a)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	words := []string{}
	for _, a := range slices.Compact(out) {
		words = append(words, a.String())
	}
	return words
}

// addressesAt are an interface's addresses that others can use: not those of the link alone.
func (st Status) addressesAt(name string) []netip.Addr {
	var out []netip.Addr
	for _, i := range st.Guard.Interfaces {
		if i.Name != name {
			continue
		}
		for _, text := range i.Addresses {
			prefix, err := netip.ParsePrefix(text)
			if err == nil && !prefix.Addr().IsLinkLocalUnicast() {
				out = append(out, prefix.Addr())
			}
		}
	}
	return out
}

// exceptionsOf names what is weakened for a receiver, by itself or by its node.
func (st Status) exceptionsOf(r Receiver) []string {
	var out []string
	for _, e := range st.Exceptions {
		if e.On == "receiver."+r.Name || e.On == "node."+st.Node {
			out = append(out, e.Allows)
		}
	}
	return out
}
