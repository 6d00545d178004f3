package gateway

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// running is the plugin host's word for a plugin that is up.
const running = "running"

// Status is everything the node says of itself. Safe at any time between New and Close.
func (g *Gateway) Status() console.Status {
	st := console.Status{
		Node: g.opts.Node, Site: g.opts.Plan.Config.Site, Version: g.opts.Version, PID: os.Getpid(), Started: g.started.UTC(),
		Ready: g.Ready(), Guard: g.guardStatus(), Exceptions: g.exceptions(), Warnings: slices.Clone(g.warnings),
	}
	for _, r := range g.receives {
		st.Receivers = append(st.Receivers, r.status())
	}
	for _, o := range g.origins {
		for i, l := range o.logs {
			st.Spools = append(st.Spools, spoolStatus(o.name, className(classes()[i]), l.Stats()))
		}
	}
	slices.SortFunc(st.Spools, func(a, b console.Spool) int { return strings.Compare(a.Origin+"/"+a.Class, b.Origin+"/"+b.Class) })
	for _, l := range g.links {
		st.Links = append(st.Links, l.status())
	}
	for _, s := range g.sinks {
		st.Sinks = append(st.Sinks, s.status())
	}
	return st
}

func (g *Gateway) guardStatus() console.Guard {
	snap := g.guard.Snapshot()
	out := console.Guard{State: snap.State}
	for _, d := range snap.Decisions {
		out.Interfaces = append(out.Interfaces, console.Interface{Name: d.Name, MAC: d.MAC, Up: d.Up, Role: d.Role.String(), Reason: d.Reason})
	}
	return out
}

func (g *Gateway) exceptions() []console.Exception {
	out := []console.Exception{}
	for _, e := range g.opts.Plan.Config.Exceptions {
		out = append(out, console.Exception{
			Name: e.Name, Allows: e.Allows, On: e.On, Reason: e.Reason, ApprovedBy: e.ApprovedBy, Until: e.Until.Format(time.DateOnly),
		})
	}
	return out
}

// health is what a heartbeat carries to the far side, at most 512 bytes: enough to tell a sick near side from a quiet one.
func (g *Gateway) health() []byte {
	type near struct {
		Node     string `json:"node"`
		Version  string `json:"version"`
		Guard    string `json:"guard"`
		Plugins  int    `json:"plugins"`
		Running  int    `json:"running"`
		Behind   uint64 `json:"behind"` // records spooled and not yet sent
		Warnings int    `json:"warnings"`
	}
	n := near{
		Node: g.opts.Node[:min(len(g.opts.Node), 64)], Version: g.opts.Version[:min(len(g.opts.Version), 64)],
		Guard: g.guard.Snapshot().State, Warnings: len(g.warnings),
	}
	for _, r := range g.receives {
		n.Plugins++
		if s := r.plugin.Load(); s != nil && s.Status == running {
			n.Running++
		}
	}
	for _, o := range g.origins {
		for _, l := range o.logs {
			for _, c := range l.Stats().Cursors {
				if strings.HasPrefix(c.Name, "link.") {
					n.Behind += c.LagWeight
				}
			}
		}
	}
	b, err := json.Marshal(n)
	if err != nil || len(b) > 512 {
		return nil
	}
	return b
}

func spoolStatus(origin, class string, st spool.Stats) console.Spool {
	out := console.Spool{
		Origin: origin, Class: class, State: string(st.State), Epoch: hex.EncodeToString(st.Epoch[:]),
		First: st.First, Next: st.Next, Entries: st.Entries, Bytes: st.Bytes, Records: st.Sum,
		Lost: console.Drop{Batches: st.Lost.Entries, Records: st.Lost.Weight}, Cursors: map[string]console.Cursor{},
	}
	for reason, c := range st.Dropped {
		if out.Dropped == nil {
			out.Dropped = map[string]console.Drop{}
		}
		out.Dropped[reason] = console.Drop{Batches: c.Entries, Records: c.Weight}
	}
	for _, c := range st.Cursors {
		out.Cursors[c.Name] = console.Cursor{Acked: c.Acked, LagEntries: c.LagEntries, LagBytes: uint64(max(c.LagBytes, 0)), LagRecords: c.LagWeight}
	}
	return out
}

func pluginStatus(s *pluginhost.State) console.Plugin {
	if s == nil {
		return console.Plugin{Status: "starting"}
	}
	return console.Plugin{
		Status: s.Status, PID: s.PID, Version: s.Version, SHA256: s.SHA256, Restarts: s.Restarts, LastError: s.LastError,
		Since: s.Since.UTC(), Confinement: s.Confinement,
	}
}

func traffic(st relay.Stats) console.Traffic {
	return console.Traffic{
		Accepted: st.Accepted, Open: st.Open, BytesIn: st.BytesIn, BytesOut: st.BytesOut,
		Datagrams: st.Datagrams, KernelDrops: st.KernelDrops, ReceiveBuffer: st.ReceiveBuffer,
	}
}
