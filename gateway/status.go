package gateway

import (
	"encoding/hex"
	"maps"
	"os"
	"slices"
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
	g.mu.Lock()
	warnings := append([]string{}, g.warnings...)
	g.mu.Unlock()
	st := console.Status{
		Node: g.opts.Node, Site: g.opts.Plan.Config.Site, Version: g.opts.Version, PID: os.Getpid(), Started: g.started.UTC(),
		Ready: g.Ready(), Guard: g.guardStatus(), Exceptions: g.exceptions(time.Now()), Warnings: warnings, Audit: g.audit.Head(),
		Receivers: []console.Receiver{}, Spools: []console.Spool{}, Links: []console.Link{}, Sinks: []console.Sink{},
	}
	for _, r := range g.receives {
		st.Receivers = append(st.Receivers, r.status())
	}
	for _, name := range slices.Sorted(maps.Keys(g.origins)) {
		for i, l := range g.origins[name].logs {
			st.Spools = append(st.Spools, spoolStatus(name, className(classes()[i]), l.Stats()))
		}
	}
	for _, l := range g.links {
		x := l.status()
		x.Alarms = append(x.Alarms, g.nearLogAlarm(l.diode.Name)...)
		st.Links = append(st.Links, x)
	}
	for _, s := range g.sinks {
		st.Sinks = append(st.Sinks, s.status())
	}
	return st
}

func spoolStatus(origin, class string, st spool.Stats) console.Spool {
	out := console.Spool{
		Origin: origin, Class: class, State: string(st.State), Error: st.StateError, Epoch: hex.EncodeToString(st.Epoch[:]),
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
		out.Cursors[c.Name] = console.Cursor{
			Acked: c.Acked, LagEntries: c.LagEntries, LagBytes: uint64(max(c.LagBytes, 0)), LagRecords: c.LagWeight,
			Dropped: console.Drop{Batches: c.Dropped.Entries, Records: c.Dropped.Weight},
		}
	}
	return out
}

func pluginStatus(s *pluginhost.State) console.Plugin {
	if s == nil {
		return console.Plugin{Status: "starting"}
	}
	return console.Plugin{
		Status: s.Status, PID: s.PID, Version: s.Version, SHA256: s.SHA256, Restarts: s.Restarts, LastError: s.LastError,
		Since: s.Since.UTC(), Confinement: s.Confinement, Missing: s.Missing,
	}
}

func traffic(st relay.Stats) console.Traffic {
	return console.Traffic{
		Accepted: st.Accepted, Open: st.Open, BytesIn: st.BytesIn, BytesOut: st.BytesOut,
		Datagrams: st.Datagrams, KernelDrops: st.KernelDrops, ReceiveBuffer: st.ReceiveBuffer,
	}
}
