package gateway

import (
	"slices"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
)

// guardStatus is the guard in the console's words.
func (g *Gateway) guardStatus() console.Guard {
	snap := g.guard.Snapshot()
	st := snap.Standing
	out := console.Guard{State: snap.State, Interfaces: []console.Interface{}}
	left := slices.Clone(st.Barriers)
	for _, d := range snap.Decisions {
		i := interfaceOf(d)
		at := slices.IndexFunc(left, func(b guard.Barrier) bool { return b.Index == d.Index && b.Interface == d.Name })
		if at >= 0 {
			i.Barriers = barriersOf(left[at])
			left = slices.Delete(left, at, at+1)
		}
		out.Interfaces = append(out.Interfaces, i)
	}
	for _, b := range left { // what is not seen from here: isolated monitoring points
		out.Interfaces = append(out.Interfaces, console.Interface{
			Name: b.Interface, Index: b.Index, Role: b.Role.String(), Reason: "in a network namespace of its own", Barriers: barriersOf(b),
		})
	}
	if g.warden == nil {
		return out
	}
	out.Warden = &console.Warden{PID: st.PID, Known: st.Known, Reason: st.Reason, At: st.At.UTC()}
	if st.Known {
		c := check(st.Input)
		out.Input = &c
	}
	for _, t := range st.Trips {
		out.Trips = append(out.Trips, console.Trip{At: t.At.UTC(), Interface: t.Interface, Cause: t.Cause, Did: t.Did})
	}
	for _, r := range st.Restored {
		out.Restored = append(out.Restored, console.Restored{At: r.At.UTC(), Interface: r.Interface, What: r.What})
	}
	return out
}

func barriersOf(b guard.Barrier) *console.Barriers {
	return &console.Barriers{
		Egress: checks(b.Egress), Ingress: checks(b.Ingress), Quiet: checks(b.Quiet), Sent: b.Sent, Dropped: b.Dropped,
	}
}

func interfaceOf(d guard.Decision) console.Interface {
	i := console.Interface{
		Name: d.Name, Index: d.Index, MAC: d.MAC, PermMAC: d.PermMAC, AltNames: d.AltNames, Path: d.Path, Kind: d.Kind,
		Up: d.Up, Loopback: d.Loopback, Role: d.Role.String(), Reason: d.Reason, Rules: d.Rules, Accepted: d.Accepted, Fresh: d.Fresh,
	}
	for _, a := range d.Addresses {
		i.Addresses = append(i.Addresses, a.String())
	}
	return i
}

func checks(all []guard.Check) []console.Check {
	out := make([]console.Check, 0, len(all))
	for _, c := range all {
		out = append(out, check(c))
	}
	return out
}

func check(c guard.Check) console.Check {
	return console.Check{Name: c.Name, OK: c.OK, Text: c.Text}
}
