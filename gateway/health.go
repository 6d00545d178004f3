package gateway

import (
	"context"
	"encoding/json"
	"strings"
	"time"
)

const (
	// healthEvery is how often the node looks at itself for its heartbeats: as often as they are (ours).
	healthEvery = time.Second
	// maxHealth is what a heartbeat has room for, bytes (docs/formats).
	maxHealth = 512
	// maxWord bounds each name in it, bytes: escaped as JSON it can be six times as long.
	maxWord = 63
)

// watchHealth keeps what heartbeats say. The link must not wait for it: it may ask the disk.
func (g *Gateway) watchHealth(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		b := g.health()
		g.vitals.Store(&b)
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
	Guard    string `json:"guard"`
	Plugins  int    `json:"plugins"`
	Running  int    `json:"running"`
	Behind   uint64 `json:"behind"` // records spooled and not yet sent
	Warnings int    `json:"warnings"`
}

func (g *Gateway) health() []byte {
	g.mu.Lock()
	warnings := len(g.warnings)
	g.mu.Unlock()
	n := near{Node: g.opts.Node, Version: g.opts.Version, Guard: g.guard.Snapshot().State, Warnings: warnings}
	for _, r := range g.receives {
		n.Plugins++
		if s := r.plugin.Load(); s != nil && s.Status == running {
			n.Running++
		}
	}
	for _, o := range g.origins {
		for _, c := range o.consumers() {
			if strings.HasPrefix(c.name, linkCursor) {
				n.Behind += c.weight
			}
		}
	}
	return n.encode()
}

// encode gives at most maxHealth bytes.
func (n near) encode() []byte {
	n.Node, n.Version = n.Node[:min(len(n.Node), maxWord)], n.Version[:min(len(n.Version), maxWord)]
	b, err := json.Marshal(n)
	if err != nil || len(b) > maxHealth {
		n.Node, n.Version = "", "" // words that JSON makes too long
		b, _ = json.Marshal(n)     // cannot fail: numbers and two words of ours
	}
	return b[:min(len(b), maxHealth)]
}
