package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// wire carries datagrams to a port unless it is cut.
type wire struct {
	port int
	cut  atomic.Bool
}

func newWire(t *testing.T, to int) *wire {
	t.Helper()
	var lc net.ListenConfig
	in, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	out, err := d.DialContext(context.Background(), "udp", fmt.Sprintf("127.0.0.1:%d", to))
	if err != nil {
		t.Fatal(err)
	}
	local, _ := in.LocalAddr().(*net.UDPAddr)
	w := &wire{port: local.Port}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 64<<10)
		for {
			n, _, err := in.ReadFrom(buf)
			if err != nil {
				return
			}
			if !w.cut.Load() {
				_, _ = out.Write(buf[:n]) // refused while the far node is away: lost, as on a wire
			}
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-done
		_ = out.Close()
	})
	return w
}

// over puts a wire between both ends of diode "d".
func (w *wire) over(text string, listen int) string {
	text = strings.Replace(text, fmt.Sprintf("destination = \"127.0.0.1:%d\"", listen), fmt.Sprintf("destination = \"127.0.0.1:%d\"", w.port), 1)
	return strings.Replace(text, "receive {\n    interface = \"lo\"", fmt.Sprintf("receive {\n    interface = \"lo\"\n    listen = \"127.0.0.1:%d\"", listen), 1)
}

func (r *rig) client(node string) console.Client {
	return console.Client{Path: gateway.Socket(r.state, node)}
}

// totals are those of the bulk class on the far node.
func (r *rig) totals(t *testing.T) console.GapTotals {
	t.Helper()
	return r.status(t, "far").Links[0].Gaps[0]
}

func has(lines []string, line string) bool {
	return slices.Contains(lines, line)
}

// whole waits until a sink has each of the records once, in whatever order.
func (r *rig) whole(t *testing.T, file string, want []string) {
	t.Helper()
	eventually(t, "all there", func() bool { return len(r.arrived(t, file)) >= len(want) })
	seen := map[string]int{}
	for _, line := range r.arrived(t, file) {
		seen[line]++
	}
	for _, line := range want {
		if seen[line] != 1 {
			t.Errorf("%s: %q is there %d times", file, line, seen[line])
		}
	}
	if len(seen) != len(want) {
		t.Errorf("%s: %d different records, want %d", file, len(seen), len(want))
	}
}

// loseOne sends three records, of which the second is lost on the wire.
func (r *rig) loseOne(t *testing.T, w *wire, from int) {
	t.Helper()
	eventually(t, "up", func() bool { return r.status(t, "far").Links[0].State == "up" })
	sent := func() uint64 { return r.status(t, "near").Links[0].Send.Batches }
	r.send(t, numbered(from, from+1)...)
	eventually(t, "before", func() bool { return has(r.arrived(t, "a.txt"), fmt.Sprint("record ", from)) })
	before := sent()
	w.cut.Store(true)
	r.send(t, numbered(from+1, from+2)...)
	eventually(t, "lost", func() bool { return sent() > before })
	eventually(t, "gone", func() bool {
		st := r.status(t, "near").Links[0].Send.Classes[0]
		return st.Sent == st.Accepted
	})
	w.cut.Store(false)
	r.send(t, numbered(from+2, from+3)...)
	eventually(t, "after", func() bool { return has(r.arrived(t, "a.txt"), fmt.Sprint("record ", from+2)) })
	eventually(t, "named", func() bool { return r.totals(t).Open.Records == 1 })
}

func TestALossIsNamedAndAResendMakesItGood(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"typed", "report", "after a restart of the far node's ledger"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := newWire(t, r.link)
			text := w.over(r.text(""), r.link)
			stop := r.run(t, text)
			r.loseOne(t, w, 0)
			restarted := how != "typed" && how != "report"
			if restarted {
				stop()
				if err := os.RemoveAll(filepath.Join(r.state, "far", "link", "d", "ledger")); err != nil {
					t.Fatal(err)
				}
				stop = r.run(t, text)
				eventually(t, "up", func() bool { return r.status(t, "far").Links[0].State == "up" })
			}
			list, err := r.client("far").Gaps(t.Context(), console.GapsQuery{Link: "d"})
			if err != nil {
				t.Fatal(err)
			}
			ask := console.ResendRequest{Link: "d"}
			switch {
			case how == "report":
				if ask.Report, err = r.client("far").GapReport(t.Context(), "d"); err != nil {
					t.Fatal(err)
				}
			case len(list.Ranges) == 0:
				// The sinks had everything, so the spool has forgotten the gap and a lost ledger cannot know it.
				stop()
				return
			default:
				g := list.Ranges[0]
				if g.State != console.GapOpen || g.Reason != "link" || g.Records != 1 || !g.RecordsKnown || !g.Resendable || g.Before.NearAt.IsZero() || g.After.FarAt.IsZero() {
					t.Errorf("%+v", g)
				}
				ask.Ranges = fmt.Sprintf("%d-%d", g.First, g.Last)
			}
			if got, err := r.client("near").Resend(t.Context(), ask); err != nil || got.Records != 1 {
				t.Fatalf("%+v, %v", got, err)
			}
			r.whole(t, "a.txt", numbered(0, 3))
			r.whole(t, "b.txt", numbered(0, 3))
			eventually(t, "filled", func() bool { return r.totals(t).Open.Batches == 0 })
			if sum := r.totals(t); sum.Filled != sum.Declared || sum.Filled.Records != 1 {
				t.Errorf("%+v", sum)
			}
			list, err = r.client("far").Gaps(t.Context(), console.GapsQuery{Link: "d", All: true})
			if err != nil || len(list.Ranges) != 1 || list.Ranges[0].State != console.GapFilled {
				t.Fatalf("%+v %v", list, err)
			}
			// A sender goes back a little at its start: after a restart that may have come first.
			if filled := list.Ranges[0].How; filled != "resend" && (!restarted || filled != "repeat") {
				t.Errorf("%+v", list)
			}
			if _, err := r.client("far").GapReport(t.Context(), "d"); err == nil || !strings.Contains(err.Error(), "nothing is missing") {
				t.Errorf("%v", err)
			}
			stop()
		})
	}
}

// During a rotation the far node has two pairings, and the near node only the one before: a report is under that.
func TestAReportDuringARotationIsUnderThePairingOfTheNearNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := newWire(t, r.link)
	text := w.over(r.text(""), r.link)
	stop := r.runWith(t, text, strings.Replace(text, "pairing = \"test\"", "pairing = \"next\"\n  previous_pairing = \"test\"", 1))
	r.loseOne(t, w, 0)
	report, err := r.client("far").GapReport(t.Context(), "d")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := r.client("near").Resend(t.Context(), console.ResendRequest{Link: "d", Report: report}); err != nil || got.Records != 1 {
		t.Fatalf("%+v, %v", got, err)
	}
	r.whole(t, "a.txt", numbered(0, 3))
	stop()
}

// A gap is filled after both nodes were restarted, and not twice.
func TestAGapIsFilledAfterARestart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := newWire(t, r.link)
	text := w.over(r.text(""), r.link)
	stop := r.run(t, text)
	r.loseOne(t, w, 0)
	stop()
	stop = r.run(t, text)
	eventually(t, "up", func() bool { return r.status(t, "far").Links[0].State == "up" })
	for range 2 {
		report, err := r.client("far").GapReport(t.Context(), "d")
		if err != nil {
			break
		}
		if _, err := r.client("near").Resend(t.Context(), console.ResendRequest{Link: "d", Report: report}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "filled", func() bool { return r.totals(t).Open.Batches == 0 })
	r.send(t, numbered(3, 4)...)
	r.whole(t, "a.txt", numbered(0, 4))
	stop()
}

// pair is the site with a second diode beside the first.
func (r *rig) pair(second int) string {
	text := r.text("")
	from, to := strings.Index(text, "diode \"d\""), strings.Index(text, "receiver \"grams\"")
	other := strings.NewReplacer("diode \"d\"", "diode \"e\"", fmt.Sprint(":", r.link), fmt.Sprint(":", second)).Replace(text[from:to])
	text = text[:to] + other + text[to:]
	return strings.Replace(text, "via  = diode.d", "via  = [diode.d, diode.e]", 1)
}

// Two diodes carry the same: whichever is cut, nothing is lost, and nothing comes twice.
func TestTwoDiodesInParallelDeliverOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := freePort(t)
	w := newWire(t, r.link)
	text := w.over(r.pair(second), r.link)
	stop := r.run(t, text)
	both := func(f func(console.Link) bool) bool {
		links := r.status(t, "far").Links
		return len(links) == 2 && f(links[0]) && f(links[1])
	}
	eventually(t, "both up", func() bool { return both(func(l console.Link) bool { return l.State == "up" && l.Group == "d+e" }) })
	r.send(t, numbered(0, 20)...)
	r.waitFor(t, "a.txt", numbered(0, 20))
	w.cut.Store(true)
	r.send(t, numbered(20, 40)...)
	r.waitFor(t, "a.txt", numbered(0, 40))
	w.cut.Store(false)
	eventually(t, "up again", func() bool { return both(func(l console.Link) bool { return l.State == "up" }) })
	r.send(t, numbered(40, 60)...)
	r.waitFor(t, "a.txt", numbered(0, 60))
	r.waitFor(t, "b.txt", numbered(0, 60))
	if sum := r.totals(t); sum.Declared.Batches != 0 {
		t.Errorf("%+v", sum)
	}
	stop()
	// Taken apart: what the joint spool holds is delivered, and the single link begins anew.
	stop = r.run(t, r.text(""))
	r.send(t, numbered(60, 70)...)
	eventually(t, "there", func() bool { return has(r.arrived(t, "a.txt"), "record 69") })
	stop()
}

// An interface that cannot be opened, here because somebody has its port, silences one diode of two.
func TestADiodeWithoutASocketDoesNotStopTheOther(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	second := freePort(t)
	var lc net.ListenConfig
	taken, err := lc.ListenPacket(t.Context(), "udp", fmt.Sprintf("127.0.0.1:%d", second))
	if err != nil {
		t.Fatal(err)
	}
	stop := r.run(t, r.pair(second))
	eventually(t, "one down", func() bool { return strings.HasPrefix(r.status(t, "far").Links[1].State, "down: ") })
	r.send(t, numbered(0, 10)...)
	r.waitFor(t, "a.txt", numbered(0, 10))
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both up", func() bool { return r.status(t, "far").Links[1].State == "up" })
	r.send(t, numbered(10, 20)...)
	r.waitFor(t, "a.txt", numbered(0, 20))
	stop()
}

// An empty spare of the receive node needs only the pairing: it says what was before it, and a resend brings that.
func TestAnEmptySpareOfTheReceiveNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 20)...)
	r.waitFor(t, "a.txt", numbered(0, 20))
	stop()
	for _, lost := range []string{"far", "out"} {
		if err := os.RemoveAll(filepath.Join(r.state, lost)); err != nil {
			t.Fatal(err)
		}
	}
	stop = r.run(t, r.text(""))
	r.send(t, numbered(20, 30)...)
	eventually(t, "there", func() bool { return has(r.arrived(t, "a.txt"), "record 29") })
	eventually(t, "named or repeated", func() bool {
		return r.totals(t).Open.Records+uint64(len(r.arrived(t, "a.txt"))) >= 30
	})
	if r.totals(t).Open.Batches > 0 {
		report, err := r.client("far").GapReport(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.client("near").Resend(t.Context(), console.ResendRequest{Link: "d", Report: report}); err != nil {
			t.Fatal(err)
		}
	}
	r.whole(t, "a.txt", numbered(0, 30))
	stop()
}

// An empty spare of the send node begins other epochs: nothing of it is taken for what came before.
func TestAnEmptySpareOfTheSendNode(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := newWire(t, r.link)
	text := w.over(r.text(""), r.link)
	stop := r.run(t, text)
	r.loseOne(t, w, 0)
	stop()
	if err := os.RemoveAll(filepath.Join(r.state, "near")); err != nil {
		t.Fatal(err)
	}
	stop = r.run(t, text)
	// What is sent before a receiver has heard of the session is lost to it, and a spare has nothing to repeat.
	eventually(t, "up", func() bool { return r.status(t, "far").Links[0].State == "up" })
	r.send(t, numbered(3, 10)...)
	eventually(t, "there", func() bool { return has(r.arrived(t, "a.txt"), "record 9") })
	eventually(t, "final", func() bool { sum := r.totals(t); return sum.Final.Records == 1 && sum.Open.Batches == 0 })
	for i := range 10 {
		if i != 1 && !has(r.arrived(t, "a.txt"), fmt.Sprint("record ", i)) {
			t.Errorf("record %d is missing", i)
		}
	}
	if got := r.totals(t); got.Unknown != 0 && got.Open.Batches != 0 {
		t.Errorf("%+v", got)
	}
	stop()
}

func TestWhatOnlyTheOtherSideCanDo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	for what, f := range map[string]func(console.Client) error{
		"gaps":   func(c console.Client) error { _, err := c.Gaps(t.Context(), console.GapsQuery{Link: "d"}); return err },
		"report": func(c console.Client) error { _, err := c.GapReport(t.Context(), "d"); return err },
		"accept": func(c console.Client) error { _, err := c.AcceptSender(t.Context(), "d"); return err },
		"test":   func(c console.Client) error { _, err := c.TestReport(t.Context(), "d"); return err },
	} {
		if err := f(r.client("near")); err == nil || !strings.Contains(err.Error(), "d begins here: run this on far") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := r.client("far").AcceptSender(t.Context(), "d"); err == nil || !strings.Contains(err.Error(), "no authentic session was refused") {
		t.Errorf("accept: %v", err)
	}
	if _, err := r.client("far").TestReport(t.Context(), "d"); err == nil || !strings.Contains(err.Error(), "run sluice diode test d on near") {
		t.Errorf("report: %v", err)
	}
	stop()
}

func TestASelfTestIsReported(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	eventually(t, "up", func() bool { return r.status(t, "far").Links[0].State == "up" })
	if _, err := r.client("near").Test(t.Context(), console.TestRequest{Link: "d", RatesBits: []uint64{2_000_000, 4_000_000}, EachSeconds: 0.3}); err != nil {
		t.Fatal(err)
	}
	var got console.TestReport
	eventually(t, "over", func() bool {
		var err error
		got, err = r.client("far").TestReport(t.Context(), "d")
		return err == nil && !got.Running && got.SpoolBytesPerSecond > 0
	})
	if len(got.Steps) != 2 || got.Steps[1].RateBits != 4_000_000 || got.Steps[1].Received == 0 || got.Recommendation.Reason == "" {
		t.Errorf("%+v", got)
	}
	if _, err := os.Stat(filepath.Join(r.state, "far", "scratch")); !os.IsNotExist(err) {
		t.Errorf("the scratch spool is still there: %v", err)
	}
	stop()
}

// A send node whose state went back is refused until an operator says that it is no recording.
func TestASenderWhoseStateWentBackIsAcceptedByHand(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	dir := filepath.Join(r.state, "near", "link", "d")
	f, err := floor.Open(dir, "send", frame.LinkID("d"), pairing.KeyID("d", "test"))
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Store(floor.Mark{Session: uint64(time.Now().Add(time.Hour).Unix())}); err != nil {
		t.Fatal(err)
	}
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 5)...)
	r.waitFor(t, "a.txt", numbered(0, 5))
	stop()
	if err := os.RemoveAll(dir); err != nil { // the clock is right again, and the session's number is not known
		t.Fatal(err)
	}
	stop = r.run(t, r.text(""))
	r.send(t, numbered(5, 10)...)
	eventually(t, "alarm", func() bool {
		return strings.Contains(strings.Join(r.status(t, "far").Links[0].Alarms, " "), "sluice diode accept-sender d")
	})
	if r.status(t, "far").Links[0].State == "up" {
		t.Error("it was let in")
	}
	got, err := r.client("far").AcceptSender(t.Context(), "d")
	if err != nil || got.Pairing != "test" || got.Was <= got.Floor {
		t.Fatalf("%+v %v", got, err)
	}
	// What the refused session carried is gone when it was sent before the operator spoke: then it is named.
	eventually(t, "there or named", func() bool {
		return len(r.arrived(t, "a.txt")) == 10 || r.totals(t).Open.Records == 5
	})
	if r.totals(t).Open.Records > 0 {
		report, err := r.client("far").GapReport(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.client("near").Resend(t.Context(), console.ResendRequest{Link: "d", Report: report}); err != nil {
			t.Fatal(err)
		}
	}
	r.whole(t, "a.txt", numbered(0, 10))
	stop()
}

// backup keeps a copy of what a node has on disk, and gives a function that puts it back.
func (r *rig) backup(t *testing.T, node string) (restore func()) {
	t.Helper()
	from, to := filepath.Join(r.state, node), filepath.Join(t.TempDir(), node)
	if err := os.Remove(gateway.Socket(r.state, node)); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(os.RemoveAll(from), os.CopyFS(from, os.DirFS(to))); err != nil {
			t.Fatal(err)
		}
	}
}

// The restored spool gives numbers again that were given: what is new under them is delivered, not taken for old.
func TestASendNodeRestoredFromABackup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 10)...)
	r.waitFor(t, "a.txt", numbered(0, 10))
	stop()
	restore := r.backup(t, "near")
	stop = r.run(t, r.text(""))
	for i := range 5 { // one batch each
		r.send(t, numbered(10+i, 11+i)...)
		r.waitFor(t, "a.txt", numbered(0, 11+i))
	}
	stop()
	restore()
	stop = r.run(t, r.text(""))
	for i := range 10 {
		r.send(t, numbered(15+i, 16+i)...)
		eventually(t, "there", func() bool { return has(r.arrived(t, "a.txt"), fmt.Sprint("record ", 15+i)) })
	}
	for _, line := range numbered(0, 25) { // what the far side cannot tell from it may come twice
		if !has(r.arrived(t, "a.txt"), line) {
			t.Errorf("%q is missing", line)
		}
	}
	if got := strings.Join(r.status(t, "far").Links[0].Alarms, " "); !strings.Contains(got, "spool went back") {
		t.Errorf("alarms %q", got)
	}
	stop()
}

// The restored node has forgotten what it had: that comes again or is named, and nothing new is lost.
func TestAReceiveNodeRestoredFromABackup(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 10)...)
	r.waitFor(t, "a.txt", numbered(0, 10))
	r.waitFor(t, "b.txt", numbered(0, 10))
	stop()
	restore := r.backup(t, "far")
	stop = r.run(t, r.text(""))
	for i := range 5 {
		r.send(t, numbered(10+i, 11+i)...)
		r.waitFor(t, "a.txt", numbered(0, 11+i))
	}
	stop()
	restore()
	for _, file := range []string{"out/a.txt", "out/b.txt"} { // the services got new disks, too
		if err := os.Remove(filepath.Join(r.state, file)); err != nil {
			t.Fatal(err)
		}
	}
	stop = r.run(t, r.text(""))
	r.send(t, numbered(15, 20)...)
	eventually(t, "there", func() bool { return has(r.arrived(t, "a.txt"), "record 19") })
	eventually(t, "named or repeated", func() bool {
		return r.totals(t).Open.Records+uint64(len(r.arrived(t, "a.txt"))) >= 10
	})
	if r.totals(t).Open.Batches > 0 {
		report, err := r.client("far").GapReport(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.client("near").Resend(t.Context(), console.ResendRequest{Link: "d", Report: report}); err != nil {
			t.Fatal(err)
		}
	}
	r.whole(t, "a.txt", numbered(10, 20))
	stop()
}

// A far node whose spool is full names what it gives up, and a resend brings that once there is room, once to each sink.
func TestAFullFarSpoolIsNamedAndAResendMakesItGood(t *testing.T) {
	for _, policy := range []string{"drop-new", "drop-oldest"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			full := withoutB(strings.Replace(r.text("hold"), "path = \"out/a.txt\"", "path = \"out/a.txt\"\n    fault = \"hold\"", 1))
			full = strings.Replace(full, "  receive {\n", "  receive {\n    when_full = \""+policy+"\"\n", 1)
			full = strings.Replace(full, "node \"far\" {\n", "node \"far\" {\n  spool {\n    max_size = \"16MiB\"\n    segment_size = \"4MiB\"\n  }\n", 1)
			stop := r.run(t, full)
			eventually(t, "up", func() bool { return r.status(t, "far").Links[0].State == "up" })
			var want []string
			for i := 0; i < 1200 && r.totals(t).Open.Batches == 0; i++ {
				line := fmt.Sprintf("record %d %s", i, strings.Repeat("x", 40<<10))
				r.send(t, line)
				want = append(want, line)
				eventually(t, "taken in", func() bool { return r.status(t, "near").Spools[0].Records >= uint64(len(want)) })
			}
			if r.totals(t).Open.Batches == 0 {
				t.Fatalf("%d records fitted: %+v", len(want), r.status(t, "far").Spools)
			}
			stop()
			stop = r.run(t, withoutB(r.text("")))
			eventually(t, "up again", func() bool { return r.status(t, "far").Links[0].State == "up" })
			// The sender went back a little at its start, which may have filled some already.
			list, err := r.client("far").Gaps(t.Context(), console.GapsQuery{Link: "d", All: true})
			if err != nil || len(list.Ranges) == 0 || list.Ranges[0].Reason != "far-spool-full" {
				t.Fatalf("%+v %v", list, err)
			}
			report, err := r.client("far").GapReport(t.Context(), "d")
			if err == nil {
				_, err = r.client("near").Resend(t.Context(), console.ResendRequest{Link: "d", Report: report})
			}
			if err != nil && r.totals(t).Open.Batches > 0 {
				t.Fatal(err)
			}
			eventually(t, "filled", func() bool { return r.totals(t).Open.Batches == 0 })
			r.whole(t, "a.txt", want)
			stop()
		})
	}
}
