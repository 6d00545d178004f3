package script_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/cable"
)

// livePatience is how long a step may take that takes a second on an idle machine.
const livePatience = 60 * time.Second

// TestDiodeCommandsOnRealNodes types what an operator types, on two nodes that run, while their link is cut and mended.
func TestDiodeCommandsOnRealNodes(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs two nodes for about ten seconds")
	}
	dir, err := os.MkdirTemp("", "sl") // short: unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s, err := cable.New(t.Context(), dir, binDir(t))
	if err != nil {
		t.Fatal(err)
	}
	l := &live{t: t, Site: s, dir: dir}
	defer func() {
		s.Stop()
		if t.Failed() {
			t.Logf("plant:\n%s\ndmz:\n%s", s.Plant.Log(), s.DMZ.Log())
		}
	}()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	l.until("link up", s.Up)
	l.sees()
	ranges := l.misses()
	l.explains(ranges)
	l.sendsAgain()
	l.measures()
	l.refuses()
	l.examines()
}

// live is two nodes and what was sent to them.
type live struct {
	*cable.Site
	t    *testing.T
	dir  string
	sent int
}

// until waits for something of the nodes.
func (l *live) until(what string, ok func(context.Context) bool) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), livePatience)
	defer cancel()
	if err := l.Until(ctx, ok); err != nil {
		l.t.Fatalf("%s: %v", what, err)
	}
}

// types runs a command line that must succeed, and says what must be shown.
func (l *live) types(n *cable.Node, line string, wants ...string) string {
	l.t.Helper()
	out, err := n.Sluice(l.t.Context(), strings.Fields(line)...)
	if err != nil {
		l.t.Fatalf("%v\n%s", err, out)
	}
	l.shows(line, out, wants)
	return out
}

// isRefused runs a command line that must fail with exit code 1.
func (l *live) isRefused(n *cable.Node, line string, wants ...string) {
	l.t.Helper()
	out, err := n.Sluice(l.t.Context(), strings.Fields(line)...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		l.t.Errorf("sluice %s: %v\n%s", line, err, out)
		return
	}
	l.shows(line, out+err.Error(), wants)
}

func (l *live) shows(line, out string, wants []string) {
	l.t.Helper()
	for _, want := range wants {
		if !strings.Contains(out, want) {
			l.t.Errorf("sluice %s: does not show %q:\n%s", line, want, out)
		}
	}
}

// sends sends n messages and waits until the near spool has them.
func (l *live) sends(n int) {
	l.t.Helper()
	var d net.Dialer
	conn, err := d.DialContext(l.t.Context(), "tcp4", fmt.Sprintf("127.0.0.1:%d", l.Syslog))
	if err != nil {
		l.t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // all was written
	for range n {
		if _, err := fmt.Fprintf(conn, "<14>1 - press-7 live - - - message %d.\n", l.sent); err != nil {
			l.t.Fatal(err)
		}
		l.sent++
	}
	l.until("messages in the near spool", func(ctx context.Context) bool { return l.spooled(ctx) == uint64(l.sent) })
}

// spooled is how many records the near node has taken in.
func (l *live) spooled(ctx context.Context) uint64 {
	out, err := l.Plant.Sluice(ctx, "status", "--json")
	var st console.Status
	if err != nil || json.Unmarshal([]byte(out), &st) != nil {
		return 0
	}
	var n uint64
	for _, r := range st.Receivers {
		n += r.Records
	}
	return n
}

// arrived waits until all that was sent is there, once.
func (l *live) arrived() {
	l.t.Helper()
	l.until("all messages on the far side", func(context.Context) bool {
		records := l.DMZ.Records()
		for i := range l.sent {
			if bytes.Count(records, fmt.Appendf(nil, "message %d.", i)) != 1 {
				return false
			}
		}
		return true
	})
}

// sees: both ends of a link that works.
func (l *live) sees() {
	l.t.Helper()
	l.sends(20)
	l.arrived()
	l.types(l.Plant, "diode status", "node plant", "plant-to-dmz  send  up  dmz 127.0.0.1:")
	l.types(l.DMZ, "diode status plant-to-dmz", "node dmz", "plant-to-dmz  receive  up  plant at 127.0.0.1:", "missing: 0 batches, 0 records", "near side: heard ")
	l.types(l.DMZ, "status", "plant-to-dmz", "missing: 0 batches, 0 records")
	l.types(l.DMZ, "diode gaps plant-to-dmz", "plant-to-dmz: nothing is missing")
}

// misses: the link is cut, and what is missing is named.
func (l *live) misses() (ranges string) {
	l.t.Helper()
	l.Wire.Cut()
	const cut = 30
	l.sends(cut)
	l.until("near side has sent it", func(ctx context.Context) bool {
		end, _ := l.Plant.Link(ctx)
		return end.Send != nil && !slices.ContainsFunc(end.Send.Classes, func(c console.SendClass) bool { return c.Sent < c.Accepted })
	})
	l.Wire.Mend()
	l.sends(1)
	l.until("a gap is named", func(ctx context.Context) bool {
		end, _ := l.DMZ.Link(ctx)
		return slices.ContainsFunc(end.Gaps, func(g console.GapTotals) bool { return g.Open.Records == cut })
	})
	l.types(l.DMZ, "diode gaps plant-to-dmz", "30 records in ", "link", "sluice diode resend plant-to-dmz ")
	var list console.GapList
	out := l.types(l.DMZ, "diode gaps plant-to-dmz --json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		l.t.Fatal(err)
	}
	var records uint64
	for _, r := range list.Ranges {
		records += r.Records
		if !r.RecordsKnown || r.State != console.GapOpen || !r.Resendable || r.Before.NearAt.IsZero() || r.After.FarAt.IsZero() {
			l.t.Errorf("range %+v", r)
		}
	}
	if records != cut {
		l.t.Errorf("%d records missing, want %d", records, cut)
	}
	return strings.TrimSpace(l.types(l.DMZ, "diode gaps plant-to-dmz --short"))
}

// explains: what the near side knows of the ranges.
func (l *live) explains(ranges string) {
	l.t.Helper()
	l.types(l.Plant, "diode gaps plant-to-dmz --explain "+ranges, "30 records", "tcp.syslog", "127.0.0.1")
	l.types(l.Plant, "diode resend plant-to-dmz "+ranges+" --dry-run", "30 records", "can be sent again")
}

// sendsAgain: by the report file.
func (l *live) sendsAgain() {
	l.t.Helper()
	file := filepath.Join(l.dir, "gaps.bin")
	l.types(l.DMZ, "diode gaps plant-to-dmz --report "+file, "Carry it to plant")
	l.types(l.Plant, "diode resend plant-to-dmz --yes --gaps "+file, "30 records", "can be sent again", "sent again ")
	l.arrived()
	l.until("the gap is filled", func(ctx context.Context) bool {
		end, _ := l.DMZ.Link(ctx)
		return slices.ContainsFunc(end.Gaps, func(g console.GapTotals) bool { return g.OpenRanges == 0 && g.Filled.Records == 30 })
	})
	l.types(l.DMZ, "diode gaps plant-to-dmz --all", "plant-to-dmz: nothing is missing", "filled (resend)")
	// A report that was altered asks for nothing.
	b, err := os.ReadFile(file)
	if err != nil {
		l.t.Fatal(err)
	}
	b[len(b)/2] ^= 1
	forged := filepath.Join(l.dir, "forged.bin")
	if err := os.WriteFile(forged, b, 0o600); err != nil {
		l.t.Fatal(err)
	}
	l.isRefused(l.Plant, "diode resend plant-to-dmz --yes --gaps "+forged, "report")
}

// measures: a test, and what arrived of it.
func (l *live) measures() {
	l.t.Helper()
	l.types(l.Plant, "diode test plant-to-dmz --rates 5Mbit,10Mbit --each 300ms", "pattern sent at 5Mbit, 10Mbit")
	l.until("the test's report", func(ctx context.Context) bool {
		out, err := l.DMZ.Sluice(ctx, "diode", "test", "plant-to-dmz", "--report")
		return err == nil && strings.Contains(out, "5Mbit") && strings.Contains(out, "10Mbit")
	})
	l.sends(5)
	l.arrived()
}

// refuses: what belongs to the other side, and what is not there.
func (l *live) refuses() {
	l.t.Helper()
	l.isRefused(l.Plant, "diode gaps plant-to-dmz", "plant-to-dmz begins here: run this on dmz")
	l.isRefused(l.DMZ, "diode resend plant-to-dmz 1 --yes", "plant-to-dmz ends here: run this on plant")
	l.isRefused(l.Plant, "diode resend plant-to-dmz 999999 --yes", "nothing of this is kept here any more")
	l.isRefused(l.Plant, "diode status dmz-to-plant", `node plant has no link "dmz-to-plant": it has plant-to-dmz`)
	l.isRefused(l.DMZ, "diode accept-sender plant-to-dmz --yes")
}

// examines: doctor finds something to say on either side. What it is depends on the machine.
func (l *live) examines() {
	l.t.Helper()
	for _, n := range []*cable.Node{l.Plant, l.DMZ} {
		out, err := n.Sluice(l.t.Context(), "diode", "doctor", "--json")
		var exit *exec.ExitError
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			l.t.Fatal(err)
		}
		var facts []console.Fact
		if err := json.Unmarshal([]byte(out), &facts); err != nil {
			l.t.Fatalf("%v: %s", err, out)
		}
		keys := slices.ContainsFunc(facts, func(f console.Fact) bool { return strings.Contains(f.Name, "pairing") && f.State == console.FactOK })
		if len(facts) < 3 || !keys {
			l.t.Errorf("%s: %+v", n.Name, facts)
		}
	}
}
