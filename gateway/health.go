package gateway

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

const (
	// healthEvery is how often the node looks at itself for its heartbeats: as often as they are (ours).
	healthEvery = time.Second
	// maxHealth is what a heartbeat has room for, bytes.
	maxHealth = frame.MaxHealthBytes
	// maxWord bounds each name in it, bytes: escaped as JSON it can be six times as long.
	maxWord = 63
	// digestShown is how much of a digest tells two configurations apart, bytes (ours).
	digestShown = 6
)

// watchHealth keeps what heartbeats say. The link must not wait for it: it may ask the disk.
func (g *Gateway) watchHealth(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		b := g.health()
		g.vitals.Store(&b)
		for _, r := range g.receives {
			r.rate.Sample(time.Now(), r.counts.records.Load())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// lastHealth is what the newest look found, at most maxHealth bytes.
func (g *Gateway) lastHealth() []byte {
	if b := g.vitals.Load(); b != nil {
		return *b
	}
	return nil
}

// near is what a heartbeat carries to the far side: enough to tell a sick near side from a quiet one.
type near struct {
	Node     string `json:"node"`
	Version  string `json:"version"`
	Config   string `json:"config"` // begin of config.Config.Digest, hexadecimal
	Guard    string `json:"guard"`
	Spool    string `json:"spool"`     // the worst state of all
	SpoolMiB int64  `json:"spool_mib"` // of all
	Behind   uint64 `json:"behind"`    // records spooled and not yet sent
	Warnings int    `json:"warnings"`
	// Audit is the newest entry of the node's audit log: the far side notices when the log is cut.
	Audit   auditlog.Head `json:"audit"`
	Plugins int           `json:"plugins"` // of receivers
	Running int           `json:"running"` // of those
	// Receivers have the state of each plugin, as far as there is room; those that do not run come first.
	Receivers map[string]string `json:"receivers,omitempty"`
	More      int               `json:"more,omitempty"` // receivers left out
}

// patient is one receiver and how it is.
type patient struct{ name, state string }

func (g *Gateway) health() []byte {
	g.mu.Lock()
	warnings := len(g.warnings)
	g.mu.Unlock()
	digest := g.opts.Plan.Config.Digest()
	n := near{
		Node: g.opts.Node, Version: g.opts.Version, Config: hex.EncodeToString(digest[:digestShown]),
		Guard: g.guard.Snapshot().State, Spool: string(spool.StateOK), Warnings: warnings, Audit: g.audit.Head(),
	}
	for _, o := range g.origins {
		n.addSpool(o)
	}
	return n.encode(g.patients())
}

// patients lists the receivers, those that do not run first.
func (g *Gateway) patients() []patient {
	var out []patient
	for _, r := range g.receives {
		p := patient{name: r.label, state: "starting"}
		if s := r.plugin.Load(); s != nil {
			p.state = s.Status
		}
		out = append(out, p)
	}
	well := func(p patient) int {
		if p.state == running {
			return 1
		}
		return 0
	}
	slices.SortFunc(out, func(a, b patient) int { return cmp.Or(well(a)-well(b), cmp.Compare(a.name, b.name)) })
	return out
}

func (n *near) addSpool(o *origin) {
	for _, l := range o.logs {
		st := l.Stats()
		n.SpoolMiB += st.Bytes >> 20
		if st.State != spool.StateOK {
			n.Spool = string(st.State)
		}
		behind := uint64(0) // of the slowest of parallel links
		for _, c := range st.Cursors {
			if strings.HasPrefix(c.Name, linkCursor) {
				behind = max(behind, c.LagWeight)
			}
		}
		n.Behind += behind
	}
}

// encode gives at most maxHealth bytes, always JSON: receivers that run are left out first, then the others, then names.
func (n near) encode(receivers []patient) []byte {
	n.Node, n.Version = n.Node[:min(len(n.Node), maxWord)], n.Version[:min(len(n.Version), maxWord)]
	n.Plugins, n.More, n.Receivers = len(receivers), len(receivers), map[string]string{}
	for _, p := range receivers {
		if p.state == running {
			n.Running++
		}
	}
	b, ok := n.fits()
	if !ok {
		n.Node, n.Version = "", "" // words that JSON makes too long
		b, _ = n.fits()
	}
	for i, p := range receivers {
		n.Receivers[p.name], n.More = p.state, len(receivers)-i-1
		longer, ok := n.fits()
		if !ok {
			break
		}
		b = longer
	}
	return b
}

func (n near) fits() ([]byte, bool) {
	b, err := json.Marshal(n)
	return b, err == nil && len(b) <= maxHealth
}
