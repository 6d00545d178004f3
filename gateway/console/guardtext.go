package console

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// guard is the part of the status.
func (p *printer) guard(g Guard) {
	p.line("\ninterfaces (state %s)", g.State)
	for _, i := range g.Interfaces {
		p.line("  %s\t%s\t%s\t%s", i.Name, i.Role, upDown(i.Up), clean(i.Reason))
	}
	p.guardDetail(g)
}

// guardDetail says what stands before fenced interfaces, and what went wrong.
func (p *printer) guardDetail(g Guard) {
	if w := g.Warden; w != nil {
		p.line("%s", w.line())
	}
	for _, i := range g.Interfaces {
		if i.Barriers != nil {
			p.barriers(i)
		}
	}
	if g.Input != nil {
		p.line("  before the receivers' ports on other interfaces: %s", checkLine([]Check{*g.Input}))
	}
	for _, t := range g.Trips {
		p.line("  TRIPPED %s at %s: %s; %s", t.Interface, stamp(t.At), clean(t.Cause), clean(t.Did))
	}
	if len(g.Trips) > 0 {
		p.line("    find out why, then: sluice guard reset --reason TEXT")
	}
	if n := len(g.Restored) - restoredShown; n > 0 {
		p.line("  set right again before that: %s, see --json and the audit log", plural(uint64(n), "change"))
	}
	for _, r := range g.Restored[max(len(g.Restored)-restoredShown, 0):] {
		p.line("  set right again at %s: %s: %s", stamp(r.At), r.Interface, clean(r.What))
	}
}

// restoredShown is how many of the newest changes people are shown (ours).
const restoredShown = 4

func (w Warden) line() string {
	if !w.Known {
		return "  the warden does NOT answer: " + clean(w.Reason)
	}
	return fmt.Sprintf("  the warden (pid %d) looked at %s", w.PID, stamp(w.At))
}

func (p *printer) barriers(i Interface) {
	b := i.Barriers
	p.line("  before %s: out %s; in %s; quiet %s; sent %d%s", i.Name, checkLine(b.Egress), checkLine(b.Ingress), quietLine(b.Quiet), b.Sent, droppedText(b.Dropped))
}

// checkLine names what holds in one go, and says of the rest what is wrong.
func checkLine(checks []Check) string {
	if len(checks) == 0 {
		return "none"
	}
	words := make([]string, 0, len(checks))
	for _, c := range checks {
		if c.OK {
			words = append(words, c.Name+" ok")
		} else {
			words = append(words, fmt.Sprintf("%s NOT OK (%s)", c.Name, clean(c.Text)))
		}
	}
	return strings.Join(words, ", ")
}

// quietLine names only what is wrong: the settings are many.
func quietLine(checks []Check) string {
	wrong := slices.DeleteFunc(slices.Clone(checks), func(c Check) bool { return c.OK })
	switch {
	case len(wrong) > 0:
		return checkLine(wrong)
	case len(checks) == 0:
		return checkLine(nil)
	default:
		return plural(uint64(len(checks)), "setting") + " ok"
	}
}

func droppedText(by map[string]uint64) string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(by)) {
		if by[name] > 0 {
			words = append(words, fmt.Sprintf("%d by %s", by[name], name))
		}
	}
	if len(words) == 0 {
		return ", dropped 0"
	}
	return ", dropped " + strings.Join(words, ", ")
}

func upDown(up bool) string {
	if up {
		return "up"
	}
	return "down"
}

// GuardText writes the guard of one node for people.
func GuardText(w io.Writer, node string, g Guard) error {
	p := newPrinter(w)
	p.line("node %s", node)
	p.guard(g)
	return p.flush()
}

// InterfacesText writes the interfaces of one node with what identifies them.
func InterfacesText(w io.Writer, node string, all []Interface) error {
	p := newPrinter(w)
	p.line("node %s", node)
	p.line("  interface\trole\t\taddresses\tidentity\twhy")
	for _, i := range all {
		p.interfaceLine(i)
	}
	for _, i := range all {
		if i.Fresh {
			p.line("  %s is new here: sluice interfaces accept %s, when it is to serve endpoints", i.Name, i.Name)
		}
	}
	return p.flush()
}

func (p *printer) interfaceLine(i Interface) {
	p.line("  %s\t%s\t%s\t%s\t%s\t%s", i.Name, i.Role, upDown(i.Up), orDash(strings.Join(i.Addresses, ", ")), orDash(i.identity()), clean(i.Reason))
}

// identity is how a configuration can name the interface, the surest first.
func (i Interface) identity() string {
	var words []string
	if i.Path != "" {
		words = append(words, "path:"+clean(place(i.Path)))
	}
	mac := i.PermMAC
	if mac == "" {
		mac = i.MAC
	}
	if mac != "" && !i.Loopback {
		words = append(words, "mac:"+mac)
	}
	for _, a := range i.AltNames {
		words = append(words, clean(a))
	}
	return strings.Join(words, " ")
}

// place is the last element of a device's path that names a place: of "/pci0000:00/0000:03:00.0/virtio0" that is
// "pci-0000:03:00.0", which stays when names change. Without one, the last element has to do.
func place(path string) string {
	elements := strings.Split(path, "/")
	for _, e := range slices.Backward(elements) {
		if isPCI(e) {
			return "pci-" + e
		}
	}
	return elements[len(elements)-1]
}

// isPCI accepts domain:bus:device.function as sysfs writes it.
func isPCI(s string) bool {
	return len(s) == len("0000:03:00.0") && s[4] == ':' && s[7] == ':' && s[10] == '.'
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// AcceptedText writes what accepting an interface has changed.
func AcceptedText(w io.Writer, a Accepted) error {
	p := newPrinter(w)
	p.line("%s: accepted as %s: %s", a.Interface.Name, a.Interface.Role, clean(a.Interface.Reason))
	if a.Mirror != nil {
		p.line("  %s", clean(a.Mirror.Text))
	}
	return p.flush()
}

// GuardReportText writes the evidence, and then what is not as it must be.
func GuardReportText(w io.Writer, r GuardReport) error {
	p := newPrinter(w)
	p.line("node %s at %s", r.Node, stamp(r.At))
	p.guard(r.Guard)
	for _, t := range r.Trials {
		p.line("  tried on %s: %s", t.Interface, checkLine(t.Checks))
	}
	for _, m := range r.Mirrors {
		p.line("  watched %s: %s (%s for one machine, %d of them for others)", m.Interface, m.Verdict, plural(m.Unicast, "frame"), m.Foreign)
	}
	if r.SingleBarrier {
		p.line("  an exception accepts one egress drop instead of two")
	}
	p.conclusion(r)
	return p.flush()
}

func (p *printer) conclusion(r GuardReport) {
	problems := r.Problems()
	if undecided := r.undecided(); len(undecided) > 0 {
		p.line("  too little arrives to tell %s from a mirror port: undecided, not safe", strings.Join(undecided, ", "))
	}
	if len(problems) == 0 {
		p.line("\nOK: everything that was looked at is as it must be")
		return
	}
	p.line("\nNOT OK")
	for _, problem := range problems {
		p.line("  %s", clean(problem))
	}
}

// undecided are interfaces that were watched in vain.
func (r GuardReport) undecided() []string {
	var names []string
	for _, m := range r.Mirrors {
		if m.Verdict == MirrorUndecided {
			names = append(names, m.Interface)
		}
	}
	return names
}
