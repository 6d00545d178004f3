package config

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/sluice-gateway/sluice/hcl/value"
)

func isMAC(text string) bool {
	hw, err := net.ParseMAC(text)
	return err == nil && len(hw) == 6
}

// name reads a text that must look like the name of a block.
func (s *section) name(attr string) string {
	text, ok := read[string](s, attr)
	if ok && !validName.MatchString(text) {
		s.wrong("name", attr, fmt.Sprintf("%q cannot be a name", text), "names begin with a small letter and go on with small letters, digits, - and _; at most 63")
	}
	return text
}

// addrPort reads an IP address with a port.
func (s *section) addrPort(attr string) netip.AddrPort {
	text, ok := read[string](s, attr)
	if !ok {
		return netip.AddrPort{}
	}
	return s.parseAddrPort(attr, value.Element{Text: text, Range: s.rangeOf(attr)})
}

// addrPorts reads a list of targets.
func (s *section) addrPorts(attr string) []netip.AddrPort {
	var out []netip.AddrPort
	for _, e := range s.list(attr) {
		if a := s.parseAddrPort(attr, e); a.IsValid() {
			out = append(out, a)
		}
	}
	return out
}

func (s *section) parseAddrPort(attr string, e value.Element) netip.AddrPort {
	a, err := netip.ParseAddrPort(e.Text)
	if err == nil && a.Port() != 0 {
		return a
	}
	host, port, splitErr := net.SplitHostPort(e.Text)
	advice := `write it as in "10.30.0.10:20001" or "[fd00::10]:20001"`
	if splitErr == nil && host != "" && port != "" && net.ParseIP(host) == nil {
		advice = "names are not resolved, so that no name server can move the target: write the IP address"
	}
	s.problem("address", e.Range, fmt.Sprintf("%s: %q is not an IP address with a port", attr, e.Text), advice)
	return netip.AddrPort{}
}

// addr reads an IP address.
func (s *section) addr(attr string) netip.Addr {
	text, ok := read[string](s, attr)
	if !ok {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		s.wrong("address", attr, fmt.Sprintf("%q is not an IP address", text), `write it as in "10.99.0.1"`)
	}
	return a
}

// mac reads an Ethernet address of one station.
func (s *section) mac(attr string) net.HardwareAddr {
	text, ok := read[string](s, attr)
	if !ok {
		return nil
	}
	hw, err := net.ParseMAC(text)
	switch {
	case err != nil || len(hw) != 6:
		s.wrong("address", attr, fmt.Sprintf("%q is not a MAC address", text), `write it as in "02:00:5e:10:00:02"`)
	case hw[0]&1 != 0: // IEEE 802-2014, section 8.2.2: the I/G bit
		s.wrong("address", attr, fmt.Sprintf("%q is a group address", text), "write the address of the receiving interface")
	}
	return hw
}

// prefixes reads the networks from which a receiver takes data. A plain address stands for itself alone.
func (s *section) prefixes(attr string) []netip.Prefix {
	var out []netip.Prefix
	for _, e := range s.list(attr) {
		p, ok := s.parsePrefix(attr, e)
		if !ok {
			continue
		}
		for _, other := range out {
			if other.Overlaps(p) {
				s.d.add(Problem{
					Range: e.Range, Severity: Warning, Rule: "overlap", Component: s.address,
					Text: fmt.Sprintf("%s: %s and %s overlap", attr, other, p), Advice: "the larger one is enough",
				})
			}
		}
		out = append(out, p)
	}
	return out
}

func (s *section) parsePrefix(attr string, e value.Element) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(e.Text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), true
	}
	p, err := netip.ParsePrefix(e.Text)
	switch {
	case err != nil:
		s.problem("address", e.Range, fmt.Sprintf("%s: %q is not a network", attr, e.Text), `write it as in "10.20.0.0/24"`)
		return p, false
	case p != p.Masked():
		s.problem("address", e.Range, fmt.Sprintf("%s: %q has bits beyond its length", attr, e.Text), fmt.Sprintf("write %q for the network, or %q for the one address", p.Masked(), p.Addr()))
		return p, false
	}
	return p, true
}
