package gateway

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// entries are what a node's log says, "what object", without starts and stops.
func entries(t *testing.T, g *Gateway) []string {
	t.Helper()
	all, err := auditlog.Read(AuditDir(g.opts.StateDir, g.opts.Node), auditlog.Filter{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		if e.What != auditlog.Start && e.What != auditlog.Stop {
			out = append(out, strings.TrimSpace(e.What+" "+e.Object))
		}
	}
	return out
}

// again is the next start of the same node.
func again(t *testing.T, g *Gateway) *Gateway {
	t.Helper()
	if err := g.audit.Close(); err != nil {
		t.Fatal(err)
	}
	next := &Gateway{opts: g.opts, view: g.view, log: g.log, origins: map[string]*origin{}}
	t.Cleanup(func() { _ = next.Close() })
	if err := next.openAudit(); err != nil {
		t.Fatal(err)
	}
	return next
}

func TestWhatIsInForceIsWrittenDownOnce(t *testing.T) {
	g := testGateway(t)
	until := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, 1)
	g.opts.Plan.Config.Exceptions = []config.Exception{{Name: "x", Allows: "degraded_sandbox", On: "node.n", Until: until}}
	g = again(t, g)
	g.pluginRuns("udp.a", "1", strings.Repeat("a", 64))
	g.pluginRuns("udp.a", "1", strings.Repeat("a", 64))
	g.pairingUsed("d", "2026-11", "1234")
	g = again(t, g)
	g.pluginRuns("udp.a", "1", strings.Repeat("a", 64))
	g.pairingUsed("d", "2026-11", "1234")
	if g.exceptionsChanged(until.AddDate(0, 0, 2)) != true {
		t.Error("the end of an exception is no news")
	}
	g.pluginRuns("udp.a", "2", strings.Repeat("b", 64))
	want := []string{
		"apply configuration", "exception-begins exception.x", "plugin-change udp.a", "pair diode d", "exception-ended exception.x",
		"plugin-change udp.a",
	}
	if got := entries(t, g); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestTripsAndRestorationsAreWrittenDownOnce(t *testing.T) {
	g := testGateway(t)
	at := time.Now()
	s := guard.Standing{Known: true, Trips: []guard.Trip{{At: at, Interface: "eno3", Cause: "c", Did: "d"}}, Restored: []guard.Restored{
		{At: at, Interface: "eno3", What: "one"}, {At: at, Interface: "eno4", What: "two"},
	}}
	if !g.noteGuard(s) || g.noteGuard(s) {
		t.Error("news is news once")
	}
	g.keepInForce()
	g = again(t, g)
	if g.noteGuard(s) {
		t.Error("told again after a start")
	}
	g.noteGuard(guard.Standing{Known: true})
	if !g.noteGuard(guard.Standing{Known: true, Trips: s.Trips}) {
		t.Error("a trip that came again is news")
	}
	got := entries(t, g)
	want := []string{"apply configuration", "trip interface eno3", "restore interface eno3", "restore interface eno4", "trip interface eno3"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// What a person asks for is not done when nobody could find out later that it was done.
func TestWhatCannotBeWrittenDownIsNotDone(t *testing.T) {
	g := testGateway(t)
	if err := g.noteFor(t.Context(), auditlog.Entry{What: auditlog.Resend}); err != nil {
		t.Fatal(err)
	}
	if err := g.audit.Close(); err != nil {
		t.Fatal(err)
	}
	err := g.noteFor(t.Context(), auditlog.Entry{What: auditlog.Resend})
	if err == nil || !strings.Contains(err.Error(), "it is not done") {
		t.Error(err)
	}
}

func TestADamagedMemoryOfWhatIsInForceIsRefused(t *testing.T) {
	g := testGateway(t)
	if err := os.WriteFile(filepath.Join(g.opts.nodeDir(), "in-force.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := g.audit.Close(); err != nil {
		t.Fatal(err)
	}
	next := &Gateway{opts: g.opts, view: g.view, log: g.log}
	err := next.openAudit()
	if err == nil || !strings.Contains(err.Error(), "in-force.json") {
		t.Error(err)
	}
	if err := next.audit.Close(); err != nil {
		t.Error(err)
	}
}

// beat is a heartbeat whose sender has that audit log.
func beat(t *testing.T, h auditlog.Head) recv.PathStats {
	t.Helper()
	health, err := json.Marshal(near{Audit: h})
	if err != nil {
		t.Fatal(err)
	}
	return recv.PathStats{Link: "d", Heartbeat: frame.Heartbeat{Health: health}}
}

func TestACutLogOfTheNearSideShowsOnTheFarSide(t *testing.T) {
	a, b := strings.Repeat("a", 64), strings.Repeat("b", 64)
	for name, c := range map[string]struct {
		then auditlog.Head
		text string
	}{
		"grows":         {auditlog.Head{Seq: 11, Hash: b}, ""},
		"as it was":     {auditlog.Head{Seq: 10, Hash: a}, ""},
		"cut":           {auditlog.Head{Seq: 9, Hash: b}, "had 10 entries and now has 9"},
		"written anew":  {auditlog.Head{Seq: 10, Hash: b}, "was aaaaaaaaaaaa and now is bbbbbbbbbbbb"},
		"none is heard": {auditlog.Head{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := testGateway(t)
			g.heardHead(beat(t, auditlog.Head{Seq: 10, Hash: a}))
			g.heardHead(beat(t, c.then))
			g.keepInForce()
			g = again(t, g) // the far side remembers it over a start
			alarm := strings.Join(g.nearLogAlarm("d"), " ")
			if (alarm != "") != (c.text != "") || !strings.Contains(alarm, c.text) {
				t.Errorf("%q", alarm)
			}
			if g.acceptNearLog("d") != (c.text != "") || len(g.nearLogAlarm("d")) != 0 {
				t.Error("accepting ends it, and only then there was something to accept")
			}
		})
	}
}
