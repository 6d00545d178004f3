package gateway

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/schema"
)

// openReceivers opens the spools of the receivers and their relays; sockets follow when a plugin asks.
func (g *Gateway) openReceivers() error {
	by, err := originOf(g.view)
	if err != nil {
		return err
	}
	for _, conf := range g.view.Receivers {
		p, ok := g.opts.Plan.parts[conf.Address]
		if !ok {
			g.warn("%s is closed: see the problems of its configuration", conf.Address)
			continue
		}
		o, err := g.origin(by[conf.Address], g.linksOf(by[conf.Address], by))
		if err != nil {
			return err
		}
		setup, err := g.setupBase(conf.Address, p)
		if err != nil {
			return err
		}
		log := g.log.With("receiver", Label(conf.Address))
		g.receives = append(g.receives, &receiver{
			conf: conf, label: Label(conf.Address), part: p, origin: o, setup: setup, log: log,
			relay: relay.New(grantsOf(conf, p), guardSockets{g.guard}, log),
		})
	}
	return nil
}

func (g *Gateway) openSendLinks() error {
	by, err := originOf(g.view)
	if err != nil {
		return err
	}
	for _, v := range g.view.Send {
		name, err := originOfLink(v, by)
		if err != nil {
			return err
		}
		o, err := g.origin(name, g.linksOf(name, by))
		if err != nil {
			return err
		}
		key, err := g.key(v.Diode)
		if err != nil {
			return err
		}
		// The cursor has to exist before the first record, else nothing is kept for the link.
		if _, err := o.cursors("link." + v.Diode.Name); err != nil {
			return err
		}
		g.links = append(g.links, &link{
			diode: v.Diode, direction: "send", origin: o, log: g.log.With("link", v.Diode.Name),
			start: sendEnd(key, g.opts.nodeDir(), guardSockets{g.guard}, g.health),
		})
	}
	return nil
}

func (g *Gateway) openReceiveLinks() error {
	for _, v := range g.view.Receive {
		o, err := g.origin(fromOrigin(v.Diode.Name), nil)
		if err != nil {
			return err
		}
		key, err := g.key(v.Diode)
		if err != nil {
			return err
		}
		g.links = append(g.links, &link{
			diode: v.Diode, direction: "receive", origin: o, log: g.log.With("link", v.Diode.Name),
			start: receiveEnd(key, g.opts.nodeDir(), guardSockets{g.guard}),
		})
	}
	return nil
}

// openSinks gives every sink a cursor in every origin of the node; it passes over what is not routed to it.
func (g *Gateway) openSinks() error {
	for _, v := range g.view.Sinks {
		p, ok := g.opts.Plan.parts[v.Sink.Address]
		if !ok {
			g.warn("%s is closed: see the problems of its configuration", v.Sink.Address)
			continue
		}
		setup, err := g.setupBase(v.Sink.Address, p)
		if err != nil {
			return err
		}
		label := Label(v.Sink.Address)
		log := g.log.With("sink", label)
		s := &sink{
			conf: v.Sink, label: label, part: p, takes: labels(v.Receivers), setup: setup, log: log,
			letters: &deadLetters{path: filepath.Join(g.opts.nodeDir(), "dead-letter", label+".ndjson")},
			relay:   relay.New(relay.Grants{Component: label, Connect: v.Sink.Connect}, guardSockets{g.guard}, log),
		}
		for _, o := range g.origins {
			cs, err := o.cursors("sink." + label)
			if err != nil {
				return err
			}
			s.cursors = append(s.cursors, cs...)
		}
		g.sinks = append(g.sinks, s)
	}
	return nil
}

func (g *Gateway) key(d *config.Diode) ([keyBytes]byte, error) {
	if g.opts.BothEnds {
		if err := ensureKey(g.opts.StateDir, d.Name, d.Pairing); err != nil {
			return [keyBytes]byte{}, err
		}
	}
	return readKey(g.opts.StateDir, d.Name, d.Pairing)
}

// setupBase makes the component's private directory and looks up its certificates.
func (g *Gateway) setupBase(address string, p part) (setupBase, error) {
	b := setupBase{stateDir: filepath.Join(g.opts.nodeDir(), "plugin", Label(address)), rootDir: g.opts.StateDir}
	if err := os.MkdirAll(b.stateDir, 0o700); err != nil {
		return b, fmt.Errorf("%s: %w", address, err)
	}
	var err error
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

func (g *Gateway) warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	g.warnings = append(g.warnings, text)
	g.log.Warn(text)
}
