package config

import (
	"fmt"
	"net/netip"
	"slices"
)

// crossCheck holds blocks against each other, as far as no plugin has to be asked.
func (d *decoder) crossCheck() {
	d.settleSpools()
	d.checkDiodeInterfaces()
	d.checkDiodeUse()
	d.checkDiodeRates()
	d.checkRoutes()
	d.checkDiodeSets()
	d.checkExceptions()
}

// settleSpools gives every spool its policy. Behind a diode nobody can be asked to wait: to refuse there would be to
// drop without saying so.
func (d *decoder) settleSpools() {
	for i := range d.cfg.Nodes {
		n := &d.cfg.Nodes[i]
		behind := slices.IndexFunc(d.cfg.Diodes, func(x Diode) bool { return x.To == n.Name })
		switch {
		case behind < 0 && !n.Spool.written:
			n.Spool.WhenFull = "refuse"
		case behind >= 0 && !n.Spool.written:
			n.Spool.WhenFull = "drop-new"
		case behind >= 0 && n.Spool.WhenFull == "refuse":
			s := d.where("node." + n.Name)
			spool := s.nested("spool")
			inner := d.open(spoolWord(), s.address+".spool", spool.Body, spool.DefRange)
			inner.wrong("when-full", "when_full", fmt.Sprintf("node.%s receives from diode.%s, which cannot be asked to wait", n.Name, d.cfg.Diodes[behind].Name),
				`write "drop-new" or "drop-oldest": whole batches are then dropped, counted and named as gaps`)
		}
	}
	for i := range d.cfg.Diodes {
		x := &d.cfg.Diodes[i]
		if far, err := d.cfg.FindNode(x.To); err == nil && x.Receive.WhenFull == "" {
			x.Receive.WhenFull = far.Spool.WhenFull
		}
	}
}

// loopback has no wire: a trial may run both ends of a diode and its services on it.
const loopback = "lo"

// end is one end of a diode on a node.
type end struct {
	node, diode, block, iface string
}

func (d *decoder) ends() []end {
	var out []end
	for _, x := range d.cfg.Diodes {
		out = append(out, end{x.From, x.Name, "send", x.Send.Interface}, end{x.To, x.Name, "receive", x.Receive.Interface})
	}
	return out
}

// checkDiodeInterfaces makes sure that a diode's interface is nothing else.
func (d *decoder) checkDiodeInterfaces() {
	seen := map[[2]string]string{}
	for _, e := range d.ends() {
		if e.iface == loopback {
			continue
		}
		outer := d.where("diode." + e.diode)
		b := outer.nested(e.block)
		w := outer.word.block(e.block)
		s := d.open(w, outer.address+"."+e.block, b.Body, b.DefRange)
		node, _ := d.cfg.FindNode(e.node)
		if slices.Contains(node.MonitoringPoints, e.iface) {
			s.wrong("interface-role", "interface", fmt.Sprintf("%q is a monitoring point of node.%s", e.iface, e.node), "a diode's interface carries nothing else: use another one, or take it out of monitoring_points")
		}
		if slices.Contains(node.ServiceInterfaces, e.iface) {
			s.wrong("interface-role", "interface", fmt.Sprintf("%q is a service interface of node.%s", e.iface, e.node), "a diode's interface carries nothing else: use another one, or take it out of service_interfaces")
		}
		key := [2]string{e.node, e.iface}
		if other, twice := seen[key]; twice {
			s.wrong("interface-role", "interface", fmt.Sprintf("%q already belongs to diode.%s on node.%s", e.iface, other, e.node), "every diode has an interface of its own at each end")
		}
		seen[key] = e.diode
	}
}

// checkDiodeUse reports diodes that would take each other's frames and those that carry nothing.
func (d *decoder) checkDiodeUse() {
	type listener struct {
		node string
		at   netip.AddrPort
	}
	listening := map[listener]string{}
	for _, x := range d.cfg.Diodes {
		s := d.where("diode." + x.Name)
		key := listener{x.To, x.Receive.Listen}
		if other, twice := listening[key]; twice {
			s.problem("port", s.at, fmt.Sprintf("diode.%s already listens on %s on node.%s", other, x.Receive.Listen, x.To), "give each diode a port of its own")
		}
		listening[key] = x.Name
		if !slices.ContainsFunc(d.cfg.Routes, func(r Route) bool { return slices.Contains(r.Via, x.Name) }) {
			d.add(Problem{Range: s.at, Severity: Warning, Rule: "unused", Component: s.address, Text: "no route uses diode." + x.Name, Advice: "it carries heartbeats only: name it in the via of a route, or leave it out"})
		}
	}
}
