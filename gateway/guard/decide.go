package guard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
)

// Decision is the role of one interface, and why it has it.
type Decision struct {
	Index     int
	Name, MAC string
	Up        bool
	Role      Role
	Reason    string // in words
	Addresses []netip.Prefix
	Loopback  bool
	// Rules are those of the policy that name this interface.
	Rules []string
}

// verdict is a decision with what the guard needs to act on it.
type verdict struct {
	Decision
	link    link
	id      identity
	diodeTX bool // may send a one-way link, even when Role is Service (loopback)
	diodeRX bool // may receive one, likewise
}

// scene is one list of interfaces, sorted by what the policy says of them. The
// maps go from an interface's index to the rule or the reason.
type scene struct {
	policy          Policy
	mem             *memory
	watched         map[int]string // monitoring: reason
	service, tx, rx map[int]string // rule
	beside          map[int]string // relatives of a diode: its interface
	missing         []string       // rules of monitoring points that are not there
}

// decide gives every interface its role. It never fails: what does not fit
// the policy is closed or monitoring, with the reason.
func decide(p Policy, links []link, mem *memory) []verdict {
	mem.remember(p, links)
	tx, rx := only(p.DiodeTX, links), only(p.DiodeRX, links)
	s := scene{
		policy: p, mem: mem, watched: monitoring(p, links, mem), missing: unmatched(p.Monitoring, links),
		service: only(p.Service, links), tx: tx, rx: rx, beside: besideDiode(links, tx, rx),
	}
	out := make([]verdict, 0, len(links))
	for _, l := range links {
		out = append(out, s.judge(l))
	}
	slices.SortFunc(out, func(a, b verdict) int { return a.Index - b.Index })
	return out
}

func (s scene) judge(l link) verdict {
	v := verdict{link: l, id: l.identity(), Decision: Decision{
		Index: l.index, Name: l.name, MAC: l.mac, Up: l.up, Addresses: l.addrs, Loopback: l.loopback,
		Rules: s.naming(l),
	}}
	if reason, ok := s.watched[l.index]; ok {
		v.Role, v.Reason = Monitoring, reason
		return v
	}
	_, v.diodeTX = s.tx[l.index]
	_, v.diodeRX = s.rx[l.index]
	v.Role, v.Reason = s.role(l, v)
	return v
}

// naming lists the rules that name an interface, each once.
func (s scene) naming(l link) []string {
	p := s.policy
	rules := slices.Concat(p.Monitoring, p.Service, p.DiodeTX, p.DiodeRX)
	return slices.Compact(slices.Sorted(slices.Values(slices.DeleteFunc(rules, func(rule string) bool {
		return len(match(rule, []link{l})) == 0
	}))))
}

func (s scene) role(l link, v verdict) (Role, string) {
	rule, wanted := s.service[l.index]
	carries := v.diodeTX || v.diodeRX
	switch {
	case carries && (!l.loopback || !wanted):
		return diodeRole(v), "carries a one-way link"
	case wanted:
		return Service, fmt.Sprintf("named as a service interface (%q)", rule)
	case len(s.policy.Service) > 0:
		return Closed, "not among the service interfaces"
	case s.beside[l.index] != "":
		return Closed, "relative of " + s.beside[l.index] + ", which carries a one-way link"
	}
	return s.byDefault(l)
}

// byDefault decides about an interface that no rule names, on a node whose
// policy lists no service interfaces.
func (s scene) byDefault(l link) (Role, string) {
	switch {
	case s.mem.known[l.identity()]:
		return Service, "neither monitoring point nor diode interface"
	case s.policy.whenNew() == NewClosed:
		return Closed, "appeared or changed after the start, and new interfaces stay closed"
	case len(s.missing) > 0:
		return Closed, fmt.Sprintf("appeared or changed while monitoring point %q is missing: it may be that one", s.missing[0])
	}
	return Service, "appeared after the start, and new interfaces become service interfaces"
}

func diodeRole(v verdict) Role {
	if v.diodeTX {
		return DiodeTX
	}
	return DiodeRX
}

// named maps the index of each interface that a rule names to that rule.
func named(rules []string, links []link) map[int]string {
	out := map[int]string{}
	for _, rule := range rules {
		for _, l := range match(rule, links) {
			out[l.index] = rule
		}
	}
	return out
}

// only is like named, without the rules that name several interfaces: which
// of them was meant cannot be known, so it opens none.
func only(rules []string, links []link) map[int]string {
	return named(slices.DeleteFunc(slices.Clone(rules), func(rule string) bool {
		return len(match(rule, links)) != 1
	}), links)
}

func unmatched(rules []string, links []link) []string {
	return slices.DeleteFunc(slices.Clone(rules), func(rule string) bool {
		return len(match(rule, links)) > 0
	})
}

// monitoring returns every interface that is a monitoring point, was one, or
// is a relative of one, with the reason.
func monitoring(p Policy, links []link, mem *memory) map[int]string {
	out := map[int]string{}
	for index, rule := range named(p.Monitoring, links) {
		out[index] = fmt.Sprintf("declared as a monitoring point (%q)", rule)
	}
	for _, l := range links {
		if _, ok := out[l.index]; ok {
			continue
		}
		if rule, ok := mem.watches(l); ok {
			out[l.index] = fmt.Sprintf("was monitoring point %q before it changed", rule)
		}
	}
	near, label := relatives(links), labels(links)
	for _, start := range slices.Sorted(maps.Keys(out)) {
		for index, through := range reach(start, near) {
			if _, ok := out[index]; !ok {
				out[index] = inherited(label, start, through)
			}
		}
	}
	return out
}

func inherited(label map[int]string, start, through int) string {
	reason := "relative of monitoring point " + label[start]
	if through != start {
		reason += " through " + label[through]
	}
	return reason
}

// besideDiode names, per interface, the diode interface it is a relative of.
func besideDiode(links []link, tx, rx map[int]string) map[int]string {
	out, near, label := map[int]string{}, relatives(links), labels(links)
	for _, diode := range []map[int]string{tx, rx} {
		for start := range diode {
			for index := range reach(start, near) {
				out[index] = label[start]
			}
		}
	}
	return out
}

func labels(links []link) map[int]string {
	out := make(map[int]string, len(links))
	for _, l := range links {
		out[l.index] = l.name
	}
	return out
}
