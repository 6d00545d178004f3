package gateway

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/schema"
)

// openReceivers opens the spools of the receivers and their relays; sockets follow when a plugin asks. Spools of links are
// open by now.
func (g *Gateway) openReceivers() error {
	by := originOf(g.view)
	opts, err := spoolOptions(g.view.Node)
	if err != nil {
		return err
	}
	for _, conf := range g.view.Receivers {
		p, ok := g.opts.Plan.parts[conf.Address]
		if !ok {
			g.warn("%s is closed: see the problems of its configuration", conf.Address)
			continue
		}
		o, err := g.origin(by[conf.Address], opts)
		if err != nil {
			return err
		}
		setup, err := g.setupBase(conf.Address, p)
		if err != nil {
			return err
		}
		log := g.log.With("receiver", Label(conf.Address))
		g.receives = append(g.receives, &receiver{
			conf: conf, label: Label(conf.Address), part: p, origin: o, setup: setup, log: log, runs: g.pluginRuns,
			relay: relay.New(grantsOf(conf, p), guardSockets{g.guard}, log),
		})
	}
	return nil
}

// openSendLinks opens one spool per group of parallel diodes, from which each sends by a cursor of its own. A group that
// no receiver uses has a spool too, so that its heartbeats have an epoch to speak of.
func (g *Gateway) openSendLinks() error {
	for _, group := range g.view.SendGroups() {
		opts, err := sendOptions(g.view.Node, group.Links)
		if err != nil {
			return err
		}
		o, err := g.origin(viaOrigin(group.Name), opts)
		if err != nil {
			return err
		}
		for _, v := range group.Links {
			if err := g.openSendLink(v.Diode, o, len(group.Links) > 1); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Gateway) openSendLink(d *config.Diode, o *origin, parallel bool) error {
	keys, err := g.pairings(pairing.Send, d)
	if err != nil {
		return err
	}
	// The cursors have to exist before the first record, else nothing is kept for the link.
	if _, err := o.cursors(cursorName(linkCursor, d.Name)); err != nil {
		return err
	}
	end := sendEnd{pairing: keys[0], stateDir: g.opts.nodeDir(), parallel: parallel, open: guardSockets{g.guard}, health: g.lastHealth}
	if g.room != nil {
		end.room = g.room
	}
	g.links = append(g.links, &link{diode: d, direction: "send", origin: o, log: g.log.With("link", d.Name), start: end.start, pairings: keys})
	return nil
}

// routed are the receivers that some sink of this node takes, by label.
func (g *Gateway) routed() map[string]bool {
	out := map[string]bool{}
	for _, v := range g.view.Sinks {
		for _, r := range labels(v.Receivers) {
			out[r] = true
		}
	}
	return out
}

// openSinks gives every sink a cursor in every origin of the node; it passes over what is not routed to it. A sink that
// is closed has its place kept.
func (g *Gateway) openSinks() error {
	for _, v := range g.view.Sinks {
		cursors, err := g.cursorsOf(Label(v.Sink.Address))
		if err != nil {
			return err
		}
		p, ok := g.opts.Plan.parts[v.Sink.Address]
		if !ok {
			g.warn("%s is closed: see the problems of its configuration; its records are kept", v.Sink.Address)
			continue
		}
		setup, err := g.setupBase(v.Sink.Address, p)
		if err != nil {
			return err
		}
		label := Label(v.Sink.Address)
		log := g.log.With("sink", label)
		g.sinks = append(g.sinks, &sink{
			conf: v.Sink, label: label, part: p, takes: labels(v.Receivers), cursors: cursors, setup: setup, log: log, runs: g.pluginRuns,
			letters: &deadLetters{path: filepath.Join(g.opts.nodeDir(), "dead-letter", label+".ndjson")},
			relay:   relay.New(relay.Grants{Component: label, Connect: v.Sink.Connect}, guardSockets{g.guard}, log),
		})
	}
	for _, o := range g.origins {
		g.forgetSinks(o)
	}
	return nil
}

func (g *Gateway) cursorsOf(sink string) ([]*spool.Cursor, error) {
	var out []*spool.Cursor
	for _, name := range slices.Sorted(maps.Keys(g.origins)) {
		cs, err := g.origins[name].cursors(cursorName(sinkCursor, sink))
		if err != nil {
			return nil, err
		}
		out = append(out, cs...)
	}
	return out, nil
}

// setupBase makes the component's private directory and looks up its certificates.
func (g *Gateway) setupBase(address string, p part) (setupBase, error) {
	b := setupBase{stateDir: filepath.Join(g.opts.nodeDir(), "plugin", Label(address)), rootDir: g.opts.StateDir}
	// The host of plugins gives it to their user, so its mode is no longer ours once it is there.
	err := os.MkdirAll(b.stateDir, 0o700)
	if err != nil {
		return b, fmt.Errorf("%s: %w", address, err)
	}
	if b.grants, err = g.grants(address, p, b.stateDir); err != nil {
		return b, err
	}
	b.certificates, err = certificatesFor(filepath.Join(g.opts.nodeDir(), "certificates"), g.opts.Node, p.schema, p.body)
	if err != nil {
		return b, fmt.Errorf("%s: %w", address, err)
	}
	b.body, err = schema.Resolve(p.body, p.schema, secretsIn(filepath.Join(g.opts.nodeDir(), "secrets")))
	if err != nil {
		return b, fmt.Errorf("%s: %w", address, err)
	}
	return b, nil
}

// warn tells the log, and status until the node ends.
func (g *Gateway) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	g.mu.Lock()
	g.warnings = append(g.warnings, text)
	g.mu.Unlock()
	g.log.Warn(text)
}
