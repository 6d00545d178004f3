package config

import "slices"

// NodeView is what one node has to do: its half of the site. Components that are not enabled are left out.
type NodeView struct {
	Node      *Node // nil when there is no such node
	Receivers []*Receiver
	Sinks     []SinkView
	Send      []LinkView // diodes that begin here
	Receive   []LinkView // diodes that end here
}

// SinkView is a sink of the node and what it takes: every batch of the node's spool whose receiver is among Receivers,
// whether it was received here or came through a diode.
type SinkView struct {
	Sink      *Sink
	Receivers []string // addresses, sorted
}

// LinkView is one end of a diode and whose batches cross it.
type LinkView struct {
	Diode     *Diode
	Group     string   // name of the group of parallel diodes that it is in, at this end; its own name when it is alone
	Receivers []string // addresses, sorted; empty when no route uses the diode
}

// Takes reports whether the sink takes batches of a receiver.
func (v SinkView) Takes(receiver string) bool { return slices.Contains(v.Receivers, receiver) }

// Carries reports whether batches of a receiver cross the diode.
func (v LinkView) Carries(receiver string) bool { return slices.Contains(v.Receivers, receiver) }

// For derives a node's half from the site.
func (c *Config) For(node string) NodeView {
	var v NodeView
	v.Node, _ = c.FindNode(node)
	for i := range c.Receivers {
		if r := &c.Receivers[i]; r.Node == node && r.Enabled {
			v.Receivers = append(v.Receivers, r)
		}
	}
	for i := range c.Sinks {
		if s := &c.Sinks[i]; s.Node == node && s.Enabled {
			v.Sinks = append(v.Sinks, SinkView{Sink: s, Receivers: c.receiversOf(func(r Route) bool { return slices.Contains(r.To, s.Address) })})
		}
	}
	for i := range c.Diodes {
		d := &c.Diodes[i]
		link := LinkView{Diode: d, Receivers: c.receiversOf(func(r Route) bool { return slices.Contains(r.Via, d.Name) })}
		switch node {
		case d.From:
			link.Group = c.groupOf(d, func(*Diode) bool { return true })
			v.Send = append(v.Send, link)
		case d.To:
			link.Group = c.groupOf(d, func(other *Diode) bool { return other.To == d.To })
			v.Receive = append(v.Receive, link)
		}
	}
	return v
}

// receiversOf gathers the enabled receivers of the routes that fit.
func (c *Config) receiversOf(fits func(Route) bool) []string {
	var out []string
	for _, r := range c.Routes {
		if !fits(r) {
			continue
		}
		for _, from := range r.From {
			if c.Receiver(from).Enabled {
				out = append(out, from)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
