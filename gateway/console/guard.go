package console

import (
	"fmt"
	"slices"
	"time"
)

// States of a Guard. An unknown one goes on with why: "unknown: interface events were lost".
const (
	GuardOK      = "ok"
	GuardUnknown = "unknown" // nothing new is accepted
	GuardTripped = "tripped" // nothing is accepted until an operator resets it
)

// Guard says what each interface may carry, why, and what stands before it.
type Guard struct {
	State      string      `json:"state"`
	Warden     *Warden     `json:"warden,omitempty"` // none: no interface of the node needs a fence
	Interfaces []Interface `json:"interfaces"`
	// Input is the drop before the receivers' ports on every interface that is no service interface.
	Input *Check `json:"input,omitempty"`
	// Trips are latched.
	Trips []Trip `json:"trips,omitempty"`
	// Restored are what somebody changed and the warden set right again, the newest last.
	Restored []Restored `json:"restored,omitempty"`
}

// Warden is the privileged half of the guard.
type Warden struct {
	PID    int       `json:"pid,omitempty"`
	Known  bool      `json:"known"` // it answers
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at,omitzero"` // of its last look
}

// Interface is one decision of the guard.
type Interface struct {
	Name      string   `json:"name"`
	Index     int      `json:"index,omitempty"`
	MAC       string   `json:"mac,omitempty"`
	PermMAC   string   `json:"permanent_mac,omitempty"` // burned in; the driver may not tell
	AltNames  []string `json:"altnames,omitempty"`
	Path      string   `json:"path,omitempty"` // of the device below /sys/devices; virtual interfaces have none
	Kind      string   `json:"kind,omitempty"` // device, bridge, bond, vlan, veth …
	Addresses []string `json:"addresses,omitempty"`
	Up        bool     `json:"up"`
	Loopback  bool     `json:"loopback,omitempty"` // what it carries never leaves the machine: it needs no fence
	Role      string   `json:"role"`
	Reason    string   `json:"reason"`
	Rules     []string `json:"rules,omitempty"` // of the configuration that name it
	Accepted  bool     `json:"accepted"`        // remembered as one that may become a service interface
	// Fresh: closed for no other reason than that it is not; `sluice interfaces accept` is the remedy.
	Fresh    bool      `json:"fresh,omitempty"`
	Barriers *Barriers `json:"barriers,omitempty"` // of a fenced interface
}

// Barriers are what keeps an interface silent, as they were read back from the kernel.
type Barriers struct {
	Egress  []Check `json:"egress"`  // independent drops of what would leave: two
	Ingress []Check `json:"ingress"` // drops of what arrives
	Quiet   []Check `json:"quiet"`   // settings that keep the kernel from wanting to talk
	// Sent counts frames that have left since the interface was fenced, by its own counter; on diode-tx with those of
	// the link.
	Sent uint64 `json:"sent"`
	// Dropped counts frames by the drop that took them.
	Dropped map[string]uint64 `json:"dropped,omitempty"`
}

// Check is one thing that was looked at.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text,omitempty"` // what is wrong with it
}

// Trip is why an interface was set down for good.
type Trip struct {
	At        time.Time `json:"at"`
	Interface string    `json:"interface"`
	Cause     string    `json:"cause"`
	Did       string    `json:"did"`
}

// Restored is one setting that was set right again.
type Restored struct {
	At        time.Time `json:"at"`
	Interface string    `json:"interface"`
	What      string    `json:"what"`
}

// Verdicts of a Mirror.
const (
	MirrorOrdinary  = "ordinary"
	MirrorPort      = "mirror"    // somebody mirrors traffic to it
	MirrorUndecided = "undecided" // too little arrived to tell: not "safe"
)

// Mirror is what watching an interface told.
type Mirror struct {
	Interface string `json:"interface"`
	Verdict   string `json:"verdict"`
	Unicast   uint64 `json:"unicast"` // frames for one machine
	Foreign   uint64 `json:"foreign"` // of them, for another than this
	Text      string `json:"text"`
}

// GuardTestRequest asks for evidence.
type GuardTestRequest struct {
	// Watch also watches what arrives at service interfaces for 10 s, and tries the drops where the node can. Without it
	// everything is read back, and no more.
	Watch bool `json:"watch,omitempty"`
}

// GuardReport is the evidence.
type GuardReport struct {
	Node  string    `json:"node"`
	At    time.Time `json:"at"`
	Guard Guard     `json:"guard"` // read back for this report
	// SingleBarrier: an exception accepts one egress drop instead of two.
	SingleBarrier bool     `json:"single_barrier,omitempty"`
	Trials        []Trial  `json:"trials,omitempty"`
	Mirrors       []Mirror `json:"mirrors,omitempty"`
}

// Trial is what was tried before one interface, and did not get through where OK.
type Trial struct {
	Interface string  `json:"interface"`
	Checks    []Check `json:"checks"`
}

// GuardResetRequest lets what has tripped go on.
type GuardResetRequest struct {
	Reason string `json:"reason"` // for the audit log; not empty
}

// AcceptRequest makes an interface one that may become a service interface.
type AcceptRequest struct {
	Name string `json:"name"` // its name, altname, "mac:…" or "path:…"
	// Force accepts it although it looks like a mirror port.
	Force bool `json:"force,omitempty"`
}

// Accepted is the interface as it then is.
type Accepted struct {
	Interface Interface `json:"interface"`
	Mirror    *Mirror   `json:"mirror,omitempty"`
}

// Problems lists what is not as it must be, each with what to do about it. What an exception accepts is none.
func (r GuardReport) Problems() []string {
	g := r.Guard
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, t := range g.Trips {
		add("%s tripped: %s: find out why, then sluice guard reset --reason TEXT", t.Interface, t.Cause)
	}
	if g.State != GuardOK && len(g.Trips) == 0 {
		add("the guard's state is %s", g.State)
	}
	if w := g.Warden; w != nil && !w.Known {
		add("the warden does not answer: %s: see its log, and systemctl status sluice-guard", w.Reason)
	}
	for _, i := range g.Interfaces {
		out = append(out, i.problems(r.SingleBarrier)...)
	}
	if g.Input != nil && !g.Input.OK {
		add("the drop before the receivers' ports does not stand: %s", g.Input.Text)
	}
	for _, t := range r.Trials {
		out = append(out, failures(t.Interface, t.Checks)...)
	}
	for _, m := range r.Mirrors {
		if m.Verdict == MirrorPort {
			add("%s", m.Text)
		}
	}
	return out
}

// Roles as the guard says them, as far as text depends on them.
const (
	roleService    = "service"
	roleMonitoring = "monitoring"
	roleDiodeRX    = "diode-rx"
	roleDiodeTX    = "diode-tx"
)

// problems are those of one interface.
func (i Interface) problems(single bool) []string {
	b := i.Barriers
	if b == nil {
		if !i.Loopback && (i.Role == roleMonitoring || i.Role == roleDiodeRX || i.Role == roleDiodeTX) {
			return []string{i.Name + ": nothing stands before it"}
		}
		return nil
	}
	var out []string
	if !single || standing(b.Egress) == 0 {
		out = append(out, failures(i.Name, b.Egress)...)
	}
	out = append(out, failures(i.Name, append(slices.Clip(b.Ingress), b.Quiet...))...)
	if len(b.Egress) == 0 {
		out = append(out, i.Name+": no egress drop stands before it")
	}
	if b.Sent > 0 && (i.Role == roleMonitoring || i.Role == roleDiodeRX) {
		out = append(out, fmt.Sprintf("%s: %s left it since it was fenced", i.Name, plural(b.Sent, "frame")))
	}
	return out
}

func standing(checks []Check) int {
	n := 0
	for _, c := range checks {
		if c.OK {
			n++
		}
	}
	return n
}

func failures(on string, checks []Check) []string {
	var out []string
	for _, c := range checks {
		if !c.OK {
			out = append(out, fmt.Sprintf("%s: %s is not as it must be: %s", on, c.Name, c.Text))
		}
	}
	return out
}
