package gateway

import (
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
)

// guardStatus is the guard in the console's words.
func (g *Gateway) guardStatus() console.Guard {
	snap := g.guard.Snapshot()
	st := snap.Standing
	out := console.Guard{State: snap.State, Interfaces: []console.Interface{}}
	barriers := map[int]*console.Barriers{}
	for _, b := range st.Barriers {
		barriers[b.Index] = &console.Barriers{
			Egress: checks(b.Egress), Ingress: checks(b.Ingress), Quiet: checks(b.Quiet), Sent: b.Sent, Dropped: b.Dropped,
		}
	}
	for _, d := range snap.Decisions {
		i := interfaceOf(d)
		i.Barriers = barriers[d.Index]
		out.Interfaces = append(out.Interfaces, i)
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
