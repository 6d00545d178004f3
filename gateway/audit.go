package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// AuditDir is where a node's audit log lies.
func AuditDir(stateDir, node string) string { return filepath.Join(stateDir, node, "audit") }

// openAudit opens the log and writes down what has changed since the node ran last.
func (g *Gateway) openAudit() error {
	var err error
	g.audit, err = auditlog.Open(AuditDir(g.opts.StateDir, g.opts.Node), g.opts.Node)
	if errors.Is(err, auditlog.ErrBusy) {
		return fmt.Errorf("%w: this node runs already from %s: see sluice status, or name another --state", err, g.opts.StateDir)
	}
	if err != nil {
		return err
	}
	if g.inForce, err = loadInForce(filepath.Join(g.opts.nodeDir(), "in-force.json")); err != nil {
		return err
	}
	g.note(auditlog.Entry{What: auditlog.Start, Detail: "version " + g.opts.Version, After: g.configHash()})
	g.applied()
	return nil
}

func (g *Gateway) configHash() string {
	digest := g.opts.Plan.Config.Digest()
	return hex.EncodeToString(digest[:])
}

// note writes down what happened by itself. That it could not be written stops nothing: the log says so itself as soon as
// it can, and status at once.
func (g *Gateway) note(e auditlog.Entry) {
	if e.Who == (auditlog.Who{}) {
		e.Who = auditlog.Itself("sluice run")
	}
	if _, err := g.audit.Append(e); err != nil {
		g.log.Error("audit log: an entry was not written", "what", e.What, "object", e.Object, "error", err)
	}
}

// noteFor writes down what a person asked for, before it is done: what cannot be written down is not done.
func (g *Gateway) noteFor(ctx context.Context, e auditlog.Entry) error {
	e.Who = console.WhoOf(ctx)
	if _, err := g.audit.Append(e); err != nil {
		return console.Errorf(console.CodeRefused, "it cannot be written to the audit log, so it is not done: %v", err)
	}
	return nil
}

// applied compares the configuration with the one that the node ran last, and writes down what is different.
func (g *Gateway) applied() {
	now := g.configHash()
	if before := g.inForce.Config; before != now {
		g.note(auditlog.Entry{What: auditlog.Apply, Object: "configuration", Before: before, After: now})
		g.inForce.Config = now
	}
	g.exceptionsChanged(time.Now())
	g.keepInForce()
}

// exceptionsChanged writes down which exceptions began and which ended since the last look, and reports whether any did.
func (g *Gateway) exceptionsChanged(at time.Time) bool {
	now := map[string]string{}
	for _, e := range g.exceptions(at) {
		now[e.Name] = fmt.Sprintf("%s on %s until %s: %s (%s)", e.Allows, e.On, e.Until, e.Reason, e.ApprovedBy)
	}
	g.forceMu.Lock()
	before := g.inForce.Exceptions
	g.inForce.Exceptions = now
	g.forceMu.Unlock()
	began, ended := changes(before, now)
	for _, name := range ended {
		g.note(auditlog.Entry{What: auditlog.ExceptionEnded, Object: "exception." + name, Detail: before[name]})
	}
	for _, name := range began {
		g.note(auditlog.Entry{What: auditlog.ExceptionBegins, Object: "exception." + name, Detail: now[name]})
	}
	return len(began)+len(ended) > 0
}

// pluginRuns writes down that a component runs another program than before.
func (g *Gateway) pluginRuns(component, version, sha256 string) {
	if sha256 == "" {
		return
	}
	g.forceMu.Lock()
	before := g.inForce.Plugins[component]
	if before != sha256 {
		g.inForce.Plugins[component] = sha256
	}
	g.forceMu.Unlock()
	if before == sha256 {
		return
	}
	g.note(auditlog.Entry{What: auditlog.PluginChange, Object: component, Detail: "version " + version, Before: before, After: sha256})
	g.keepInForce()
}

// pairingUsed writes down that a link uses another pairing than before.
func (g *Gateway) pairingUsed(link, name, fingerprint string) {
	now := name + " " + fingerprint
	g.forceMu.Lock()
	before := g.inForce.Pairings[link]
	g.inForce.Pairings[link] = now
	g.forceMu.Unlock()
	if before == now {
		return
	}
	g.note(auditlog.Entry{What: auditlog.Pair, Object: "diode " + link, Detail: "pairing " + now})
	g.keepInForce()
}

// watchAudit writes down what happens by itself while the node runs: trips, what was restored, exceptions that end.
func (g *Gateway) watchAudit(ctx context.Context) error {
	tick := time.NewTicker(healthEvery)
	defer tick.Stop()
	for {
		news := g.noteGuard(g.guard.Snapshot().Standing)
		news = g.hearNearLogs() || news
		news = g.exceptionsChanged(time.Now()) || news
		if news {
			g.keepInForce()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// noteGuard writes down trips and what was restored, each once, also over restarts. It reports
// whether there was any.
func (g *Gateway) noteGuard(s guard.Standing) bool {
	g.forceMu.Lock()
	var news []auditlog.Entry
	there := map[string]bool{}
	for _, t := range s.Trips {
		name := t.Interface + " " + t.At.UTC().String()
		there[name] = true
		if !g.inForce.Trips[name] {
			g.inForce.Trips[name] = true
			news = append(news, auditlog.Entry{What: auditlog.Trip, At: t.At, Object: "interface " + t.Interface, Detail: t.Cause + "; " + t.Did})
		}
	}
	if s.Known {
		forget(g.inForce.Trips, there)
	}
	told := g.inForce.Restored // several may have been restored at one look
	for _, r := range s.Restored {
		if r.At.After(told) {
			g.inForce.Restored = r.At
			news = append(news, auditlog.Entry{What: auditlog.Restore, At: r.At, Object: "interface " + r.Interface, Detail: r.What})
		}
	}
	g.forceMu.Unlock()
	for _, e := range news {
		g.note(e)
	}
	return len(news) > 0
}
