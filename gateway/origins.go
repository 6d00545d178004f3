package gateway

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/hcl/config"
)

// localOrigin is where receivers spool that no link takes from.
const localOrigin = "local"

func viaOrigin(link string) string  { return "via " + link }
func fromOrigin(link string) string { return "from " + link }

// originOf says where each receiver of a node spools, by address: with all other receivers that cross the same diodes.
// A sequence on a link is a sequence of its spool, so a diode may take from one origin only.
func originOf(v config.NodeView) (map[string]string, error) {
	out := map[string]string{}
	for _, r := range v.Receivers {
		var links []string
		for _, l := range v.Send {
			if l.Carries(r.Address) {
				links = append(links, l.Diode.Name)
			}
		}
		slices.Sort(links)
		out[r.Address] = localOrigin
		if len(links) > 0 {
			out[r.Address] = viaOrigin(strings.Join(links, "+"))
		}
	}
	for _, l := range v.Send {
		if _, err := originOfLink(l, out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// originOfLink returns the origin that a link sends from; a link that no receiver uses has one of its own, so that its
// heartbeats have an epoch to speak of.
func originOfLink(l config.LinkView, byReceiver map[string]string) (string, error) {
	name := ""
	for _, address := range l.Receivers {
		o, here := byReceiver[address]
		switch {
		case !here:
		case name == "":
			name = o
		case name != o:
			return "", fmt.Errorf("diode %q: its receivers cross different sets of diodes (%q and %q): route receivers that share a diode over the same diodes",
				l.Diode.Name, strings.TrimPrefix(name, "via "), strings.TrimPrefix(o, "via "))
		}
	}
	if name == "" {
		name = viaOrigin(l.Diode.Name)
	}
	return name, nil
}
