package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// wantedBuffer is the receive buffer that a node asks for, bytes (docs/operating.md).
const wantedBuffer = 64 << 20

// config finds the configuration of a node that cannot be asked.
func (o *diodeOptions) config(dir string) (*config.Config, error) {
	if dir == "" && !strings.HasSuffix(filepath.Clean(o.state), quickstartState) {
		return nil, errors.New("name the configuration with --config to have its links examined")
	}
	cfg, problems := loadConfig(dir)
	if cfg == nil || problems.HasErrors() {
		return nil, fmt.Errorf("configuration: %s", problems)
	}
	return cfg, nil
}

// offline examines what can be seen of a node that does not answer.
func (o *diodeOptions) offline(ctx context.Context, node, link, dir string, cause error) []console.Fact {
	facts := []console.Fact{{Name: "node", State: console.FactBad, Value: "does not answer: " + cause.Error(), Remedy: "start it with sluice run, or look into its log"}}
	cfg, err := o.config(dir)
	if err != nil {
		return append(facts, console.Fact{Name: "configuration", State: console.FactWarn, Value: err.Error(), Remedy: "sluice diode doctor --config DIR"})
	}
	view := cfg.For(node)
	if view.Node == nil {
		return append(facts, console.Fact{Name: "configuration", State: console.FactBad, Value: "has no node " + node, Remedy: "name one with --node"})
	}
	g, err := guard.New(guard.Options{
		Policy: gateway.GuardPolicy(&gateway.Plan{Config: cfg}, node, time.Now()), Log: slog.New(slog.DiscardHandler), DecideOnly: true,
	})
	if err != nil { // an interface that is named and not there
		facts = append(facts, console.Fact{Name: "interfaces", State: console.FactBad, Value: err.Error(), Remedy: "plug it in, or name another in the configuration"})
	}
	for _, l := range view.Send {
		facts = append(facts, o.offlineEnd(ctx, g, l, link, pairing.Send)...)
	}
	for _, l := range view.Receive {
		facts = append(facts, o.offlineEnd(ctx, g, l, link, pairing.Receive)...)
	}
	return facts
}

// offlineEnd examines one end of a link, if it is meant; without a guard the keys alone.
func (o *diodeOptions) offlineEnd(ctx context.Context, g *guard.Guard, l config.LinkView, link string, side pairing.Side) []console.Fact {
	d := l.Diode
	if link != "" && link != d.Name && link != l.Group {
		return nil
	}
	facts := []console.Fact{o.keyFact(d.Name, d.Pairing, side)}
	if d.PreviousPairing != "" && side == pairing.Receive {
		facts = append(facts, o.keyFact(d.Name, d.PreviousPairing, side))
	}
	if g != nil {
		for _, f := range g.DiodeFacts(ctx, diodeQuery(d, side)) {
			facts = append(facts, console.Fact{Name: f.Name, State: f.State, Value: f.Value, Remedy: f.Remedy})
		}
	}
	for i := range facts {
		facts[i].Link, facts[i].Side = d.Name, string(side)
	}
	return facts
}

func (o *diodeOptions) keyFact(diode, name string, side pairing.Side) console.Fact {
	f, err := pairing.Find(filepath.Join(o.state, keysDir), side, diode, name)
	if err != nil {
		return console.Fact{Name: "pairing " + name, State: console.FactBad, Value: err.Error()}
	}
	return console.Fact{Name: "pairing " + name, State: console.FactOK, Value: "fingerprint " + f.Fingerprint}
}

func diodeQuery(d *config.Diode, side pairing.Side) guard.DiodeQuery {
	q := guard.DiodeQuery{Source: d.Send.Source, MTU: d.Send.MTU}
	if side == pairing.Send {
		q.Interface, q.Address, q.MAC = d.Send.Interface, d.Send.Destination, d.Send.DestinationMAC
		return q
	}
	q.Receive, q.Interface, q.Address, q.Buffer = true, d.Receive.Interface, d.Receive.Listen, wantedBuffer
	q.Capture = d.Receive.Capture == config.CapturePacket
	return q
}
