package guard

import (
	"fmt"
	"slices"
	"strings"
)

// stance is what the fence lets this half do.
type stance struct {
	whole   bool   // everything stands: sockets may be opened
	tripped bool   // everything closes, until an operator resets it
	reason  string // why it is not whole
}

// wantEgress is how many independent drops keep an interface silent. From the
// design: each leaves open what the other closes.
const wantEgress = 2

// fenced reports whether a fence must stand before the interface. What
// loopback carries never leaves the machine.
func (v verdict) fenced() bool {
	return !v.Loopback && (v.Role == Monitoring || v.Role == DiodeTX || v.Role == DiodeRX)
}

// judge compares what must be fenced with what stands.
func judge(p Policy, verdicts []verdict, s Standing) stance {
	switch {
	case len(s.Trips) > 0:
		return stance{tripped: true, reason: tripText(s.Trips)}
	case !s.Known:
		return stance{reason: "the guard's warden is not heard: " + orText(s.Reason, "it has said nothing yet")}
	}
	for _, v := range verdicts {
		if !v.fenced() {
			continue
		}
		if reason := unfenced(p, v, s); reason != "" {
			return stance{reason: v.Name + " " + reason}
		}
	}
	if reason := notIsolated(p, verdicts, s); reason != "" {
		return stance{reason: reason}
	}
	if len(p.Ports) > 0 && !p.SingleBarrier && !s.Input.OK {
		return stance{reason: "the drop before the receivers' ports does not stand" + because(s.Input.Text)}
	}
	return stance{whole: true}
}

// unfenced says what is missing before one interface, or nothing.
func unfenced(p Policy, v verdict, s Standing) string {
	b, ok := barrierAt(s, v.Index)
	if p.Isolate { // another namespace may use the same index
		b, ok = barrierOf(s, v)
	}
	switch {
	case !ok:
		return "is not fenced"
	case b.Role != v.Role:
		return fmt.Sprintf("is fenced as %s, and is %s", b.Role, v.Role)
	}
	return b.gap(p.SingleBarrier)
}

// gap says which drop is missing, or nothing.
func (b Barrier) gap(single bool) string {
	egress, ingress := standing(b.Egress), standing(b.Ingress)
	switch {
	case egress == 0:
		return "has no egress drop" + because(faults(b.Egress))
	case egress < wantEgress && !single:
		return "has one egress drop of two" + because(faults(b.Egress))
	case ingress == 0, ingress < len(b.Ingress) && !single:
		return "has no whole ingress drop" + because(faults(b.Ingress))
	}
	return ""
}

// notIsolated wants as many whole barriers in the fence's own namespace as
// there are monitoring points that are not here.
func notIsolated(p Policy, verdicts []verdict, s Standing) string {
	missing := unmatched(p.Monitoring, linksOf(verdicts))
	if !p.Isolate || len(missing) == 0 {
		return ""
	}
	elsewhere := 0
	for _, b := range s.Barriers {
		v, here := find(verdicts, b.Index)
		here = here && v.fenced() && v.Name == b.Interface
		if b.Role == Monitoring && !here && b.gap(p.SingleBarrier) == "" {
			elsewhere++
		}
	}
	if elsewhere < len(missing) {
		return fmt.Sprintf("monitoring point %q is neither here nor fenced in its own namespace", missing[0])
	}
	return ""
}

func barrierAt(s Standing, index int) (Barrier, bool) {
	i := slices.IndexFunc(s.Barriers, func(b Barrier) bool { return b.Index == index })
	if i < 0 {
		return Barrier{}, false
	}
	return s.Barriers[i], true
}

func barrierOf(s Standing, v verdict) (Barrier, bool) {
	i := slices.IndexFunc(s.Barriers, func(b Barrier) bool { return b.Index == v.Index && b.Interface == v.Name })
	if i < 0 {
		return Barrier{}, false
	}
	return s.Barriers[i], true
}

// standing counts the checks that hold.
func standing(checks []Check) int {
	n := 0
	for _, c := range checks {
		if c.OK {
			n++
		}
	}
	return n
}

func faults(checks []Check) string {
	var out []string
	for _, c := range checks {
		if !c.OK {
			out = append(out, c.Name+because(c.Text))
		}
	}
	return strings.Join(out, "; ")
}

// text says in one line what stands before an interface.
func (b Barrier) text() string {
	names := func(checks []Check) string {
		var out []string
		for _, c := range checks {
			if c.OK {
				out = append(out, c.Name)
			}
		}
		return list(out)
	}
	return names(b.Egress) + "; " + names(b.Ingress)
}

func tripText(trips []Trip) string {
	t := trips[0]
	more := ""
	if len(trips) > 1 {
		more = fmt.Sprintf(" (and %d more)", len(trips)-1)
	}
	return fmt.Sprintf("%s: %s%s", t.Interface, t.Cause, more)
}

func because(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func orText(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
