package guard

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Decision is the role of one interface, and why it has it.
type Decision struct {
	Index     int
	Name, MAC string
	PermMAC   string   // burned-in address; empty when the driver tells none
	AltNames  []string // alternative names
	Path      string   // of the device below /sys/devices; empty for virtual interfaces
	Kind      string   // netlink's: device, bridge, bond, vlan, veth …
	Up        bool
	Role      Role
	Reason    string // in words
	Addresses []netip.Prefix
	Loopback  bool
	// Rules are those of the policy that name this interface.
	Rules []string
	// Accepted: it is remembered as one that may become a service interface.
	// Fresh: it is not, and closed for that reason alone.
	Accepted, Fresh bool
	// Barrier says in words what confines it; Snapshot fills it in.
	Barrier string
}

// verdict is a decision with what the guard needs to act on it.
type verdict struct {
	Decision
	link    link
	id      identity
	diodeTX bool // may send a one-way link, even when Role is Service (loopback)
	diodeRX bool // may receive one, likewise
	watch   bool // a mirror check is to tell more about it
}

// scene is one list of interfaces, sorted by what the policy says of them. The
// maps go from an interface's index to the rule or the reason.
type scene struct {
	policy          Policy
	links           []link
	mem             *memory
	known           acquaintances
	mirrorWatch     time.Duration
	watched         map[int]string // monitoring: reason
	service, tx, rx map[int]string // rule
	beside          map[int]string // relatives of a diode: its interface
	missing         []string       // rules of monitoring points that are not there
	rules           map[int][]string
}

// decide gives every interface its role. It never fails: what does not fit
// the policy is closed or monitoring, with the reason.
func decide(p Policy, links []link, mem *memory, mirrorWatch time.Duration) []verdict {
	mem.remember(p, links)
	tx, rx := only(p.DiodeTX, links), only(p.DiodeRX, links)
	s := scene{
		policy: p, links: links, mem: mem, known: mem.acquaint(links), mirrorWatch: mirrorWatch,
		watched: monitoring(p, links, mem), missing: unmatched(p.Monitoring, links),
		service: only(p.Service, links), tx: tx, rx: rx, beside: besideDiode(links, tx, rx), rules: naming(p, links),
	}
	out := make([]verdict, 0, len(links))
	for _, l := range links {
		out = append(out, s.judge(l))
	}
	slices.SortFunc(out, func(a, b verdict) int { return a.Index - b.Index })
	return out
}

func (s scene) judge(l link) verdict {
	r := s.known.record(l)
	v := verdict{link: l, id: l.identity(), Decision: Decision{
		Index: l.index, Name: l.name, MAC: l.mac, PermMAC: l.permMAC, AltNames: l.altNames, Path: l.path, Kind: l.kind,
		Up: l.up, Addresses: l.addrs, Loopback: l.loopback, Rules: s.rules[l.index], Accepted: r != nil,
	}}
	if reason, ok := s.watched[l.index]; ok {
		v.Role, v.Reason = Monitoring, reason
		return v
	}
	_, v.diodeTX = s.tx[l.index]
	_, v.diodeRX = s.rx[l.index]
	s.role(&v, r)
	return v
}

// naming lists per interface the rules that name it, each once.
func naming(p Policy, links []link) map[int][]string {
	out := map[int][]string{}
	for _, rule := range set(slices.Concat(p.Monitoring, p.Service, p.DiodeTX, p.DiodeRX)) {
		for _, l := range match(rule, links) {
			out[l.index] = append(out[l.index], rule)
		}
	}
	return out
}

// role decides about an interface that is no monitoring point.
func (s scene) role(v *verdict, r *record) {
	rule, wanted := s.service[v.Index]
	switch {
	case (v.diodeTX || v.diodeRX) && (!v.Loopback || !wanted):
		v.Role, v.Reason = diodeRole(*v), "carries a one-way link"
	case s.ambiguous(v) != "":
		v.Role, v.Reason = Closed, fmt.Sprintf("rule %q matches several interfaces: which one is meant cannot be told", s.ambiguous(v))
	case s.beside[v.Index] != "" && !v.Loopback:
		v.Role, v.Reason = Closed, "relative of "+s.beside[v.Index]+", which carries a one-way link"
	case wanted:
		v.Role, v.Reason = Service, fmt.Sprintf("named as a service interface (%q)", rule)
		s.doubt(v, r, true)
	case len(s.policy.Service) > 0:
		v.Role, v.Reason = Closed, "not among the service interfaces"
	default:
		s.byDefault(v, r)
	}
}

// ambiguous returns a rule that names the interface and another one as well.
func (s scene) ambiguous(v *verdict) string {
	for _, rule := range v.Rules {
		if len(match(rule, s.links)) > 1 {
			return rule
		}
	}
	return ""
}

// byDefault decides about an interface that no rule names, on a node whose
// policy lists no service interfaces.
func (s scene) byDefault(v *verdict, r *record) {
	switch {
	case r != nil:
		v.Role, v.Reason = Service, "neither monitoring point nor diode interface"
	case s.policy.whenNew() == NewClosed:
		v.Role, v.Fresh = Closed, true
		v.Reason = "appeared or changed after the first start, and new interfaces stay closed: sluice interfaces accept " + v.Name
		return
	case len(s.missing) > 0:
		v.Role, v.Fresh = Closed, true
		v.Reason = fmt.Sprintf("appeared or changed while monitoring point %q is missing: it may be that one", s.missing[0])
		return
	default:
		v.Role, v.Reason = Service, "appeared after the first start, and new interfaces become service interfaces"
	}
	s.doubt(v, r, false)
}

// doubt lets a mirror check have its say about a service interface. One that
// is named is open until the check speaks against it, any other is closed
// until the check has been made once; what an operator accepted is not asked.
func (s scene) doubt(v *verdict, r *record, named bool) {
	if mirrorProof(v.link) || r != nil && r.By == byOperator {
		return
	}
	seen, known := s.mem.mirrorOf(v.link, r)
	remembered := !named && r != nil && r.Mirror != nil && r.Mirror.Verdict == MirrorOrdinary
	v.watch = s.mirrorWatch > 0 && !remembered
	switch {
	case known && seen.Verdict == MirrorPort:
		v.Role, v.Reason = Closed, seen.Text
	case s.mirrorWatch == 0:
	case !known && !named:
		v.Role, v.Reason = Closed, fmt.Sprintf("being watched for %s before it becomes a service interface", s.mirrorWatch)
	case known && seen.Verdict == MirrorUndecided && !named:
		why := "idle"
		if strings.HasPrefix(seen.Text, notLooked) {
			why = "not looked at"
		}
		v.Reason += "; " + why + ": could not be told from a mirror port"
	}
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
