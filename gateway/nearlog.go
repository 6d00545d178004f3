package gateway

import (
	"encoding/json"
	"fmt"

	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// hearNearLogs compares the heads of the near sides' audit logs, which come with their heartbeats, with what was heard
// before: a log that was cut or written anew shows here, where whoever did it cannot reach. It reports whether there was
// news.
func (g *Gateway) hearNearLogs() bool {
	changed := false
	for _, x := range g.groups {
		r, _ := x.running()
		if r == nil {
			continue
		}
		for _, p := range r.Stats().Paths {
			changed = g.heardHead(p) || changed
		}
	}
	return changed
}

// heardHead takes in what one heartbeat says, and reports whether that is news.
func (g *Gateway) heardHead(p recv.PathStats) bool {
	var n struct{ Audit auditlog.Head }
	if json.Unmarshal(p.Heartbeat.Health, &n) != nil || n.Audit.Seq == 0 {
		return false
	}
	g.forceMu.Lock()
	defer g.forceMu.Unlock()
	kept, err := auditlog.ParseHead(g.inForce.Audits[p.Link])
	if err != nil {
		kept = auditlog.Head{}
	}
	why := contradicts(kept, n.Audit)
	switch {
	case why != "" && g.inForce.Broken[p.Link] == why:
		return false
	case why != "":
		g.log.Error("the near side's audit log contradicts what was heard of it", "link", p.Link, "error", why)
		g.inForce.Broken[p.Link] = why
		return true
	case n.Audit == kept:
		return false
	}
	g.inForce.Audits[p.Link] = n.Audit.String()
	return true
}

// contradicts says how a head cannot come after another one, or nothing.
func contradicts(kept, now auditlog.Head) string {
	switch {
	case now.Seq < kept.Seq:
		return fmt.Sprintf("its audit log had %d entries and now has %d: it was cut, or the node was replaced", kept.Seq, now.Seq)
	case now.Seq == kept.Seq && now.Hash != kept.Hash:
		return fmt.Sprintf("entry %d of its audit log was %.12s and now is %.12s: it was written anew", kept.Seq, kept.Hash, now.Hash)
	}
	return ""
}

// nearLogAlarm is what an operator has to know of the near side's log.
func (g *Gateway) nearLogAlarm(link string) []string {
	g.forceMu.Lock()
	defer g.forceMu.Unlock()
	why := g.inForce.Broken[link]
	if why == "" {
		return nil
	}
	return []string{fmt.Sprintf("near side: %s; compare with sluice audit verify --kept %s there; if you replaced or restored that node, run sluice diode accept-sender %s",
		why, g.inForce.Audits[link], link)}
}

// acceptNearLog begins anew with the log of a node that an operator vouches for, and reports whether there was a reason.
func (g *Gateway) acceptNearLog(link string) bool {
	g.forceMu.Lock()
	broken := g.inForce.Broken[link] != ""
	delete(g.inForce.Broken, link)
	if broken {
		delete(g.inForce.Audits, link)
	}
	g.forceMu.Unlock()
	if broken {
		g.keepInForce()
	}
	return broken
}
