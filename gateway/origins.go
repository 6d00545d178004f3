package gateway

import "github.com/sluice-gateway/sluice/hcl/config"

// localOrigin is where receivers spool that no link takes from.
const localOrigin = "local"

// Groups of parallel diodes are named after all of them: "a+b".
func viaOrigin(group string) string  { return "via " + group }
func fromOrigin(group string) string { return "from " + group }

// originOf says where each receiver of a node spools, by address: with all other receivers that cross the same diodes. A
// sequence on a link is a sequence of its spool, and parallel diodes carry the same sequences.
func originOf(v config.NodeView) map[string]string {
	out := map[string]string{}
	for _, r := range v.Receivers {
		out[r.Address] = localOrigin
	}
	for _, group := range v.SendGroups() {
		for _, address := range group.Receivers {
			if _, here := out[address]; here {
				out[address] = viaOrigin(group.Name)
			}
		}
	}
	return out
}
