package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/internal/auditlog"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// What a node refuses is no reason to ask its warden behind its back.
func TestOnlyANodeThatIsAwayIsPassedOver(t *testing.T) {
	for _, c := range []struct {
		err  error
		away bool
	}{
		{nil, false},
		{errors.New("connection refused"), true},
		{fmt.Errorf("x: %w", console.Errorf(console.CodeRefused, "no")), false},
		{context.Canceled, false},
	} {
		if isAway(c.err) != c.away {
			t.Errorf("%v: %t", c.err, !c.away)
		}
	}
}

func TestWhatAWardenSaysInTheConsolesWords(t *testing.T) {
	at := time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)
	st := guard.Standing{
		Known: true, PID: 7, At: at, Input: guard.Check{Name: "nft input", OK: true},
		Barriers: []guard.Barrier{{
			Interface: "eno3", Index: 4, Role: guard.Monitoring, Egress: []guard.Check{{Name: "nft egress", OK: true}, {Name: "tc egress", Text: "gone"}},
			Ingress: []guard.Check{{Name: "nft ingress", OK: true}}, Sent: 2, Dropped: map[string]uint64{"nft egress": 5},
		}},
		Restored: []guard.Restored{{At: at, Interface: "eno3", What: "arp"}},
	}
	g, err := standing(st)
	if err != nil || g.State != console.GuardOK || !g.Input.OK || len(g.Restored) != 1 || g.Restored[0].What != "arp" {
		t.Fatalf("%v %+v", err, g)
	}
	i := g.Interfaces[0]
	if i.Name != "eno3" || i.Role != "monitoring" || i.Barriers.Egress[1].Text != "gone" || i.Barriers.Sent != 2 || i.Barriers.Dropped["nft egress"] != 5 {
		t.Errorf("%+v %+v", i, i.Barriers)
	}
	if got := (console.GuardReport{Guard: g}).Problems(); len(got) != 2 { // the egress drop, and frames that left
		t.Error(got)
	}
	st.Trips = []guard.Trip{{At: at, Interface: "eno3", Cause: "sent", Did: "down"}}
	if g, err := standing(st); err != nil || g.State != console.GuardTripped || g.Trips[0].Did != "down" {
		t.Errorf("%v %+v", err, g)
	}
	if g, err := standing(guard.Standing{Known: true}); err != nil || !strings.HasPrefix(g.State, "unknown: ") || g.Input != nil {
		t.Errorf("%v %+v", err, g)
	}
	if g, err := standing(guard.Standing{Reason: "refused"}); err != nil || g.State != "unknown: refused" {
		t.Errorf("%v %+v", err, g)
	}
}

// TestAWardenWhoseNodeDoesNotRunIsAsked starts a real warden with a monitoring point, asks it, resets and releases it.
func TestAWardenWhoseNodeDoesNotRunIsAsked(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	lab.Cable(netlab.End{In: lab.Namespace("peer"), Name: "eth0"}, netlab.End{In: lab.Self(), Name: "mon0", Addrs: []netip.Prefix{}})
	program, state := program(t), shortDir(t)
	runWarden(t, program, state)
	o := askOptions{state: state}
	err := o.withWarden(t.Context(), "gw", func(ctx context.Context, c *warden.Client) error {
		return c.Order(ctx, guard.Policy{Node: "gw", Monitoring: []string{"mon0"}})
	})
	if err != nil {
		t.Fatal(err)
	}
	runs := func(wantErr bool, wants []string, args ...string) {
		t.Helper()
		out, err := sluice(t, append(args, "--state", state)...)
		if (err != nil) != wantErr || slices.ContainsFunc(wants, func(w string) bool { return !strings.Contains(out, w) }) {
			t.Errorf("sluice %q: %v\n%s", args, err, out)
		}
	}
	runs(false, []string{"node gw", "mon0  monitoring", "nft egress ok", "tc egress ok", "sent 0"}, "guard", "status")
	runs(false, []string{"OK: everything that was looked at is as it must be"}, "guard", "audit")
	runs(false, []string{"tried on mon0: frames that must not leave ok", "OK: everything"}, "guard", "test")
	runs(true, nil, "guard", "release")
	runs(false, nil, "guard", "reset", "--reason", "CR-1")
	runs(false, []string{"nothing keeps its interfaces silent"}, "guard", "release", "--reason", "CR-2")
	runs(false, []string{"unknown: the warden has been told nothing"}, "guard", "status")
	runs(false, []string{"reset", "CR-1", "release", "CR-2"}, "audit", "show")
}

// program builds this command as it is delivered.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sluice")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sl") //nolint:usetesting // a unix socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// runWarden runs a warden for node gw in this network namespace, until the test ends.
func runWarden(t *testing.T, program, state string, more ...string) {
	t.Helper()
	socket := gateway.WardenSocket(state, "gw")
	if err := os.MkdirAll(filepath.Dir(socket), 0o700); err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	ctx, stop := context.WithCancel(t.Context())
	args := append([]string{warden.Verb, "--socket", socket, "--state", filepath.Dir(socket), "--node", "gw"}, more...)
	w := exec.CommandContext(ctx, program, args...)
	w.Stderr = &log
	w.Cancel = func() error { return w.Process.Signal(os.Interrupt) }
	if err := w.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		_ = w.Wait() // it was told to end
		if t.Failed() {
			t.Log(log.String())
		}
	})
	for deadline := time.Now().Add(10 * time.Second); !exists(socket); {
		if time.Now().After(deadline) {
			t.Fatal("the warden does not answer")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestMomentsArePeoplesWords(t *testing.T) {
	for _, good := range []string{"", "24h", "2026-11-24", "2026-11-24T01:00:00Z", "2026-11-24T01:00:00+02:00"} {
		if _, err := moment("--since", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"yesterday", "-1h", "2026-13-01", "24"} {
		if _, err := moment("--since", bad); err == nil {
			t.Error(bad)
		}
	}
	if at, _ := moment("--since", "1h"); time.Since(at) < time.Hour || time.Since(at) > time.Hour+time.Minute {
		t.Error(at)
	}
}

func TestWhichAuditLogIsMeant(t *testing.T) {
	o := askOptions{state: filepath.Join(t.TempDir(), "s[1]")}
	if _, _, err := o.log(); err == nil || !strings.Contains(err.Error(), "no node has an audit log") {
		t.Error(err)
	}
	for i, node := range []string{"a", "b"} {
		l, err := auditlog.Open(o.auditDir(node), node)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if node, _, err := o.log(); (err == nil) != (i == 0) || err == nil && node != "a" {
			t.Error(node, err)
		}
	}
	o.node = "b"
	if node, dir, err := o.log(); err != nil || node != "b" || filepath.Base(filepath.Dir(dir)) != node {
		t.Error(node, dir, err)
	}
}
