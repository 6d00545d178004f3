package config

import (
	"fmt"
	"slices"
	"strings"
)

// Route says what goes where. All references are addresses.
type Route struct {
	Name string
	From []string // "receiver.udp.syslog"
	Via  []string // names of diodes; empty when receivers and sinks are on one node
	To   []string // "sink.file.archive"
}

// maxVia is the number of diodes that carry the same batches in parallel.
const maxVia = 2

func decodeRoute(s *section, name string) Route {
	r := Route{
		Name: name,
		From: addressesOf(s.refs("from", false, "receiver")),
		To:   addressesOf(s.refs("to", false, "sink")),
	}
	for _, ref := range s.refs("via", true, "diode") {
		r.Via = append(r.Via, ref.address[len("diode."):])
	}
	if len(r.Via) > maxVia {
		s.wrong("route", "via", fmt.Sprintf("%d diodes", len(r.Via)), "one diode, or two in parallel")
	}
	return r
}

func addressesOf(refs []reference) []string {
	var out []string
	for _, r := range refs {
		out = append(out, r.address)
	}
	return out
}

// checkRoutes holds every pair of a receiver and a sink against the nodes that they are on.
func (d *decoder) checkRoutes() {
	pairs := map[[2]string]string{} // receiver and sink → route that joins them
	for _, r := range d.cfg.Routes {
		s := d.where("route." + r.Name)
		d.checkRoute(s, r)
		for _, from := range r.From {
			for _, to := range r.To {
				pair := [2]string{from, to}
				if first, twice := pairs[pair]; twice {
					s.wrong("duplicate", "to", fmt.Sprintf("%s already reaches %s by route.%s", from, to, first), "leave one of them out: every record would arrive twice")
				}
				pairs[pair] = r.Name
			}
		}
	}
}

// checkDiodeSets makes sure that receivers which share a diode share all their diodes: what crosses a diode is one
// numbered series of batches, and a series cannot leave by two diodes in part.
func (d *decoder) checkDiodeSets() {
	sets := map[string]string{} // receiver → its diodes
	for _, r := range d.cfg.Receivers {
		var set []string
		for _, x := range d.cfg.Routes {
			if slices.Contains(x.From, r.Address) {
				set = append(set, x.Via...)
			}
		}
		slices.Sort(set)
		sets[r.Address] = strings.Join(slices.Compact(set), " and ")
	}
	first := map[string]string{} // diode → the first receiver that crosses it
	for _, x := range d.cfg.Routes {
		for _, via := range x.Via {
			for _, from := range x.From {
				other, seen := first[via]
				if !seen {
					first[via] = from
					continue
				}
				if sets[other] != sets[from] {
					d.where("route."+x.Name).wrong("route-diode", "via", fmt.Sprintf("%s and %s share diode.%s but not all their diodes: %s crosses %s, %s crosses %s", other, from, via, other, sets[other], from, sets[from]),
						"route receivers that share a diode over the same diodes")
					return
				}
			}
		}
	}
}

func (d *decoder) checkRoute(s *section, r Route) {
	if !d.checkParallel(s, r) {
		return
	}
	for _, from := range r.From {
		near := d.cfg.Receiver(from).Node
		for _, via := range r.Via {
			if d.cfg.Diode(via).From != near {
				s.wrong("route-diode", "via", fmt.Sprintf("diode.%s begins at node.%s, but %s is on node.%s", via, d.cfg.Diode(via).From, from, near), d.adviceOnDiode(near, ""))
				return
			}
		}
	}
	for _, to := range r.To {
		far := d.cfg.Sink(to).Node
		for _, via := range r.Via {
			if d.cfg.Diode(via).To != far {
				s.wrong("route-diode", "via", fmt.Sprintf("diode.%s ends at node.%s, but %s is on node.%s", via, d.cfg.Diode(via).To, to, far), d.adviceOnDiode("", far))
				return
			}
		}
		if len(r.Via) == 0 {
			d.checkSameNode(s, r, to, far)
		}
	}
}

// checkParallel makes sure that parallel diodes join the same two nodes. (That they have interfaces and ports of their
// own is checked for all diodes.)
func (d *decoder) checkParallel(s *section, r Route) bool {
	if len(r.Via) < maxVia {
		return true
	}
	a, b := d.cfg.Diode(r.Via[0]), d.cfg.Diode(r.Via[1])
	if a.From == b.From && a.To == b.To {
		return true
	}
	s.wrong("route-diode", "via", fmt.Sprintf("diode.%s leads from node.%s to node.%s, but diode.%s from node.%s to node.%s", a.Name, a.From, a.To, b.Name, b.From, b.To),
		"two diodes in parallel carry the same batches between the same two nodes; for two destinations write two routes")
	return false
}

// checkSameNode reports receivers and a sink on two nodes without a diode between them.
func (d *decoder) checkSameNode(s *section, r Route, to, far string) {
	for _, from := range r.From {
		if near := d.cfg.Receiver(from).Node; near != far {
			s.problem("route-nodes", s.rangeOf("to"), fmt.Sprintf("%s is on node.%s and %s on node.%s, and no diode is named between them", from, near, to, far), d.adviceOnDiode(near, far))
			return
		}
	}
}

// adviceOnDiode names the diodes that fit; "" stands for any node.
func (d *decoder) adviceOnDiode(from, to string) string {
	var fit []string
	for _, x := range d.cfg.Diodes {
		if (from == "" || x.From == from) && (to == "" || x.To == to) {
			fit = append(fit, "diode."+x.Name)
		}
	}
	if len(fit) == 0 {
		return "no diode fits: receivers and sinks must be on one node, or on the two ends of a diode"
	}
	slices.Sort(fit)
	return "write via = " + fit[0]
}

// where opens a block again to report something about it; its attributes were decoded without errors before.
func (d *decoder) where(address string) *section {
	h := d.find(address)
	content, _ := h.block.Body.Content(h.word.schema())
	return &section{d: d, word: h.word, address: address, at: h.block.DefRange, attrs: content.Attributes, blocks: content.Blocks}
}
