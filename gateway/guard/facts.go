package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Values of Fact.State.
const (
	FactOK   = "ok"
	FactWarn = "warn" // works, and could be better
	FactBad  = "bad"  // does not work, or loses data
)

// Fact is one finding about an end of a one-way link.
type Fact struct {
	Name   string // what was looked at: "carrier"
	State  string // FactOK, FactWarn or FactBad
	Value  string // what was found
	Remedy string // what an operator can do; empty with FactOK
}

// DiodeQuery says what an end of a link needs.
type DiodeQuery struct {
	Receive   bool   // false = the sending end
	Interface string // rule of Policy.DiodeTX or Policy.DiodeRX
	// Source is the address that the link sends from; the zero Addr is any.
	Source netip.Addr
	// Address is the destination of a sending end, and where a receiving end
	// listens.
	Address netip.AddrPort
	MAC     net.HardwareAddr // of the destination, as configured; nil = not configured
	MTU     int              // bytes of the largest IP packet
	Capture bool             // the receiving end takes whole frames: DiodeCapture
	Buffer  int              // bytes of receive buffer that DiodeReceive is asked for
	Watch   time.Duration    // how long a receiving end looks at what arrives; 0 = 2 s
}

// defaultWatch holds two heartbeats.
const defaultWatch = 2 * time.Second

// DiodeFacts examines one end of a link: its interface, the kernel's settings
// around it, and, on the receiving end, what arrives, which takes
// DiodeQuery.Watch. It changes nothing, except that the interface is in
// promiscuous mode while it is watched. What it cannot find out is a fact,
// too; ctx cuts the watching short.
func (g *Guard) DiodeFacts(ctx context.Context, q DiodeQuery) []Fact {
	e := exam{g: g, q: q}
	links, err := g.kernel.Links()
	if err != nil {
		e.bad("interface", err.Error(), "see the kernel's log")
		return e.facts
	}
	if !e.find(links) {
		return e.facts
	}
	if q.Receive {
		e.receive(ctx)
	} else {
		e.send()
	}
	return e.facts
}

// exam is one examination under way.
type exam struct {
	g     *Guard
	q     DiodeQuery
	link  link
	facts []Fact
}

func (e *exam) ok(name, value string) { e.facts = append(e.facts, Fact{name, FactOK, value, ""}) }

func (e *exam) warn(name, value, remedy string) {
	e.facts = append(e.facts, Fact{name, FactWarn, value, remedy})
}

func (e *exam) bad(name, value, remedy string) {
	e.facts = append(e.facts, Fact{name, FactBad, value, remedy})
}

// find looks for the interface and judges its role; without one there is
// nothing more to examine.
func (e *exam) find(links []link) bool {
	found := match(e.q.Interface, links)
	if len(found) != 1 {
		e.bad("interface", fmt.Sprintf("%q matches %d interfaces", e.q.Interface, len(found)),
			"plug it in, or name one of: "+joined(describeAll(links)))
		return false
	}
	e.link = found[0]
	u := forDiodeTX
	if e.q.Receive {
		u = forDiodeRX
	}
	e.role(u)
	e.state()
	return true
}

func (e *exam) role(u use) {
	verdicts, err := e.g.current()
	if err != nil {
		e.warn("interface", e.link.describe()+": "+err.Error(), "try again")
		return
	}
	v, err := pick(verdicts, e.q.Interface, u)
	if err != nil {
		e.bad("interface", err.Error(), "let it carry this link and nothing else")
		return
	}
	e.ok("interface", fmt.Sprintf("%s, role %s", e.link.describe(), v.Role))
}

// state looks at what the link needs of the interface itself.
func (e *exam) state() {
	l := e.link
	switch {
	case !l.up:
		e.bad("carrier", l.name+" is down", "set it up: ip link set "+l.name+" up")
	case !l.carrier && e.q.Receive:
		e.bad("carrier", l.name+" has no carrier", "plug the cable; no light arrives when the sender is off or its transmit fibre is not on this port's receiver")
	case !l.carrier:
		e.bad("carrier", l.name+" has no carrier", "plug the cable, or configure the media converter to keep its light on without a return fibre")
	default:
		e.ok("carrier", "there")
	}
	if e.q.MTU > 0 && l.mtu < e.q.MTU {
		e.bad("mtu", fmt.Sprintf("%d, below the link's mtu of %d", l.mtu, e.q.MTU),
			fmt.Sprintf("ip link set %s mtu %d, or set the link's mtu to %d on both sides", l.name, e.q.MTU, l.mtu))
	} else {
		e.ok("mtu", fmt.Sprintf("%d; the link needs %d", l.mtu, e.q.MTU))
	}
}

// address wants the interface to have one.
func (e *exam) address(name string, addr netip.Addr, remedy string) {
	addr = addr.Unmap()
	if !addr.IsValid() || addr.IsUnspecified() || e.link.loopback || addr.IsMulticast() {
		return
	}
	if slices.ContainsFunc(e.link.addrs, func(p netip.Prefix) bool { return p.Addr() == addr.WithZone("") }) {
		e.ok(name, addr.String())
		return
	}
	e.bad(name, fmt.Sprintf("%s does not have %s", e.link.name, addr), remedy)
}

// rings judges the card's own queue in the direction of the link.
func (e *exam) rings(d device) {
	name, flag, now, most := "transmit ring", "tx", d.txRing, d.txRingMax
	if e.q.Receive {
		name, flag, now, most = "receive ring", "rx", d.rxRing, d.rxRingMax
	}
	switch {
	case most == 0:
		e.ok(name, "none: the interface is virtual, or its driver tells nothing")
	case e.q.Receive && now < most:
		e.warn(name, fmt.Sprintf("%d of %d frames", now, most), fmt.Sprintf("ethtool -G %s %s %d", e.link.name, flag, most))
	default:
		e.ok(name, fmt.Sprintf("%d of %d frames", now, most))
	}
}
