package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// alerts is the site whose receiver is of the critical class, with a repeat that only this class has.
func (r *rig) alerts() string {
	text := strings.Replace(r.text(""), "  port = ", "  class = \"critical\"\n  port = ", 1)
	return strings.Replace(text, "  receive {\n", "  fec {\n    critical {\n      repeat = [\"200ms\"]\n    }\n  }\n  receive {\n", 1)
}

// A receiver's class decides which log, which series and which protection its records have.
func TestACriticalReceiverCrossesInItsOwnClass(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.alerts())
	r.send(t, numbered(0, 50)...)
	r.waitFor(t, "a.txt", numbered(0, 50))
	r.waitFor(t, "b.txt", numbered(0, 50))
	near, far := r.status(t, "near"), r.status(t, "far")
	for _, st := range []console.Status{near, far} {
		for _, s := range st.Spools {
			if want := map[string]uint64{"bulk": 0, "critical": 50}[s.Class]; s.Records != want {
				t.Errorf("%s: spool %s of class %s has %d records, want %d", st.Node, s.Origin, s.Class, s.Records, want)
			}
		}
	}
	classes := near.Links[0].Send.Classes
	if len(classes) != 2 || classes[0].Class != "bulk" || classes[0].Accepted != 0 || classes[1].Accepted == 0 {
		t.Errorf("classes %+v", classes)
	}
	eventually(t, "repeated", func() bool { return r.status(t, "near").Links[0].Send.Copies > 0 })
	stop()
}

// What the far side has already is not delivered twice, whoever asks for it again.
func TestAResendOfWhatHasArrivedChangesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 50)...)
	r.waitFor(t, "a.txt", numbered(0, 50))
	near := console.Client{Path: gateway.Socket(r.state, "near")}
	newest := r.status(t, "near").Links[0].Send.Classes[0].Accepted
	asked := console.ResendRequest{Link: "d", Ranges: "1-" + fmt.Sprint(newest+2), DryRun: true}
	dry, err := near.Resend(t.Context(), asked)
	if err != nil || dry.Batches != newest || dry.Records != 50 || dry.Missing != 2 {
		t.Fatalf("%+v %v", dry, err)
	}
	asked.DryRun = false
	if got, err := near.Resend(t.Context(), asked); err != nil || got.Batches != newest {
		t.Fatalf("%+v %v", got, err)
	}
	eventually(t, "sent again", func() bool { return r.status(t, "near").Links[0].Send.Resend.Sent == newest })
	eventually(t, "known", func() bool { return r.status(t, "far").Links[0].Receive.Duplicates >= newest })
	r.waitFor(t, "a.txt", numbered(0, 50))
	if _, err := (console.Client{Path: gateway.Socket(r.state, "far")}).Resend(t.Context(), asked); err == nil || !strings.Contains(err.Error(), "run this on near") {
		t.Errorf("on the far node: %v", err)
	}
	x, err := near.Explain(t.Context(), console.ExplainRequest{Link: "d", Ranges: "1-" + fmt.Sprint(newest)})
	if err != nil || len(x.Receivers) != 1 || x.Receivers[0].Name != "grams.r" || x.Receivers[0].Endpoints[0].Endpoint != "127.0.0.1" || x.Records != 50 {
		t.Errorf("%+v %v", x, err)
	}
	stop()
}

func TestDoctorFindsNothingWrongWithALinkThatWorks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 10)...)
	r.waitFor(t, "a.txt", numbered(0, 10))
	eventually(t, "told", func() bool {
		var near struct{ Running int }
		return json.Unmarshal(r.status(t, "far").Links[0].Receive.Health, &near) == nil && near.Running == 1
	})
	want := map[string][]string{
		"near": {"link", "session number", "pairing test", "spool bulk", "spool critical", "interface", "mtu"},
		"far":  {"link", "session", "clock", "kernel drops", "memory", "gaps bulk", "near side", "configuration", "pairing test", "spool bulk", "interface"},
	}
	for node, names := range want {
		facts, err := (console.Client{Path: gateway.Socket(r.state, node)}).Doctor(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		state := map[string]string{}
		for _, f := range facts {
			state[f.Name] = f.State
			if f.State == console.FactBad || (f.State == console.FactOK) != (f.Remedy == "") {
				t.Errorf("%s: %+v", node, f)
			}
		}
		for _, name := range names {
			if state[name] != console.FactOK {
				t.Errorf("%s: %s is %q: %+v", node, name, state[name], facts)
			}
		}
	}
	stop()
}

// nearAlone runs the sending node only, with somebody at the other end who says nothing.
func (r *rig) nearAlone(t *testing.T) *gateway.Gateway {
	t.Helper()
	h := r.host(t, "near")
	ctx, cancel := context.WithCancel(t.Context())
	g, err := gateway.New(ctx, r.options(t, r.text(""), "near", h))
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for _, err := range []error{<-ended, g.Close(), h.Close()} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	return g
}

func TestDoctorSaysWhatIsWrongWithASendingEnd(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	g := r.nearAlone(t) // nobody listens at the port: the kernel says so, and the link holds
	find := func(name string) console.Fact {
		t.Helper()
		facts, err := g.Doctor(t.Context(), "d")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range facts {
			if f.Name == name {
				return f
			}
		}
		t.Fatalf("no fact %q in %+v", name, facts)
		return console.Fact{}
	}
	eventually(t, "held", func() bool { return strings.Contains(find("link").Value, "refused") })
	if f := find("pairing test"); f.State != console.FactOK || f.Side != "send" || f.Link != "d" {
		t.Errorf("%+v", f)
	}
	if f := find("spool critical"); f.State != console.FactOK {
		t.Errorf("%+v", f)
	}
	if f := find("mtu"); f.State != console.FactOK {
		t.Errorf("%+v", f)
	}
	if err := os.Chmod(filepath.Join(r.state, "keys", "d-test.send.json"), 0o644); err != nil {
		t.Fatal(err)
	}
	if f := find("pairing test"); f.State != console.FactBad || !strings.Contains(f.Value, "chmod 600") {
		t.Errorf("%+v", f)
	}
	if _, err := g.Doctor(t.Context(), "e"); err == nil || !strings.Contains(err.Error(), `has no link "e": it has d`) {
		t.Errorf("%v", err)
	}
}

// sponge takes what a link sends and says nothing.
func (r *rig) sponge(t *testing.T) {
	t.Helper()
	var lc net.ListenConfig
	c, err := lc.ListenPacket(t.Context(), "udp", fmt.Sprintf("127.0.0.1:%d", r.link))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
}

func TestASelfTestRunsAloneAndDataWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.sponge(t)
	g := r.nearAlone(t)
	link := func() *console.SendEnd { return g.Status().Links[0].Send }
	eventually(t, "up", func() bool { return g.Ready() && g.Status().Links[0].State == "up" && link().Session > 0 })
	asked := console.TestRequest{Link: "d", RatesBits: []uint64{1_000_000, 2_000_000}, EachSeconds: 0.5, Who: "me"}
	ran := make(chan error, 1)
	go func() {
		st, err := g.Test(t.Context(), asked)
		if err == nil && (len(st.RatesBits) != 2 || st.Seconds < 0.5) {
			err = fmt.Errorf("%+v", st)
		}
		ran <- err
	}()
	eventually(t, "testing", func() bool { return link().Testing })
	r.send(t, numbered(0, 5)...)
	eventually(t, "spooled", func() bool { return link().Classes[0].Accepted > 0 })
	if _, err := g.Test(t.Context(), asked); err == nil || !strings.Contains(err.Error(), "a test runs already") {
		t.Errorf("%v", err)
	}
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
	eventually(t, "sent", func() bool { return link().Batches > 0 && !link().Testing })
	asked.RatesBits = []uint64{1}
	if _, err := g.Test(t.Context(), asked); err == nil || !strings.Contains(err.Error(), "rate of 1 bit/s") {
		t.Errorf("%v", err)
	}
}
