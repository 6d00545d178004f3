package fence

import (
	"net/netip"
	"slices"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// PlanFor says which fence a policy asks for, with the interfaces as they were
// decided upon. It is not shut.
func PlanFor(policy guard.Policy, decisions []guard.Decision) Plan {
	p := Plan{Ports: ports(policy)}
	for _, d := range decisions {
		switch {
		case d.Role == guard.Service:
			p.Allowed = append(p.Allowed, d.Index)
		case d.Loopback:
			// What it carries never leaves the machine.
		case d.Role == guard.Monitoring || d.Role == guard.DiodeTX || d.Role == guard.DiodeRX:
			p.Targets = append(p.Targets, targetFor(policy, d))
		}
	}
	slices.Sort(p.Allowed)
	slices.SortFunc(p.Targets, func(a, b Target) int { return a.Index - b.Index })
	return p
}

func targetFor(policy guard.Policy, d guard.Decision) Target {
	t := Target{Index: d.Index, Name: d.Name, MAC: d.MAC, Role: d.Role}
	if d.Role == guard.DiodeTX {
		for _, e := range policy.SendEnds {
			if slices.Contains(d.Rules, e.Interface) {
				t.Send = append(t.Send, flow(e.Source, e.Destination))
			}
		}
	}
	if d.Role == guard.DiodeRX {
		for _, e := range policy.ReceiveEnds {
			if slices.Contains(d.Rules, e.Interface) && !e.Capture {
				t.Receive = append(t.Receive, flow(e.Source, e.Listen))
			}
		}
	}
	t.Send, t.Receive = unique(t.Send), unique(t.Receive)
	return t
}

// flow writes addresses in their shortest form, so that frames compare.
func flow(source netip.Addr, dest netip.AddrPort) Flow {
	source = source.Unmap().WithZone("")
	if source.IsUnspecified() {
		source = netip.Addr{}
	}
	return Flow{Source: source, Dest: netip.AddrPortFrom(dest.Addr().Unmap().WithZone(""), dest.Port())}
}

func unique(flows []Flow) []Flow {
	slices.SortFunc(flows, func(a, b Flow) int {
		if c := a.Dest.Compare(b.Dest); c != 0 {
			return c
		}
		return a.Source.Compare(b.Source)
	})
	return slices.Compact(flows)
}

// ports are those of receivers, and of links that arrive at this node: these
// are open on their own interface alone.
func ports(policy guard.Policy) []guard.Port {
	out := slices.Clone(policy.Ports)
	for _, e := range policy.ReceiveEnds {
		if !e.Capture {
			out = append(out, guard.Port{Network: "udp", Port: e.Listen.Port()})
		}
	}
	slices.SortFunc(out, func(a, b guard.Port) int {
		if a.Network != b.Network {
			return map[bool]int{true: -1, false: 1}[a.Network < b.Network]
		}
		return int(a.Port) - int(b.Port)
	})
	return slices.Compact(out)
}
