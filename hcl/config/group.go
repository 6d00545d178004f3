package config

import (
	"slices"
	"strings"
)

// GroupView is one end of the diodes of a node that carry the same batches in parallel: one series, sent over each of
// them and taken in once. Most groups have one diode.
type GroupView struct {
	Name      string     // names of the diodes, sorted, joined with "+": "plant-a+plant-b"
	Links     []LinkView // by name
	Receivers []string   // addresses, sorted; empty when no route uses the diodes
}

// groupSeparator joins the names of diodes; it stands in none.
const groupSeparator = "+"

// SendGroups gathers the diodes that begin here. Diodes of one group may end at different nodes: then the same receivers
// are routed to each of these.
func (v NodeView) SendGroups() []GroupView { return groups(v.Send) }

// ReceiveGroups gathers the diodes that end here.
func (v NodeView) ReceiveGroups() []GroupView { return groups(v.Receive) }

func groups(links []LinkView) []GroupView {
	byName := map[string]*GroupView{}
	var names []string
	for _, l := range links {
		g, seen := byName[l.Group]
		if !seen {
			g = &GroupView{Name: l.Group, Receivers: l.Receivers}
			byName[l.Group] = g
			names = append(names, l.Group)
		}
		g.Links = append(g.Links, l)
	}
	slices.Sort(names)
	out := make([]GroupView, 0, len(names))
	for _, name := range names {
		g := byName[name]
		slices.SortFunc(g.Links, func(a, b LinkView) int { return strings.Compare(a.Diode.Name, b.Diode.Name) })
		out = append(out, *g)
	}
	return out
}

// groupOf names the group of a diode among the diodes that count: those that some receiver crosses as well as this one.
// Receivers that are not enabled count too, so that switching one off renames nothing.
func (c *Config) groupOf(d *Diode, counts func(*Diode) bool) string {
	names := []string{d.Name}
	for _, from := range c.fromOf(d.Name) {
		for _, r := range c.Routes {
			if !slices.Contains(r.From, from) {
				continue
			}
			for _, via := range r.Via {
				if counts(c.Diode(via)) {
					names = append(names, via)
				}
			}
		}
	}
	slices.Sort(names)
	return strings.Join(slices.Compact(names), groupSeparator)
}

// fromOf lists the receivers whose routes cross a diode.
func (c *Config) fromOf(diode string) []string {
	var out []string
	for _, r := range c.Routes {
		if slices.Contains(r.Via, diode) {
			out = append(out, r.From...)
		}
	}
	return out
}
