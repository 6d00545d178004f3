package gateway

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/diode/report"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// nearNode is a node with one sending end "d" that is not running.
func nearNode(t *testing.T, dir string) (*Gateway, *link) {
	t.Helper()
	g := testGateway(t)
	if err := ensurePairing(g.opts.StateDir, "d", "p"); err != nil {
		t.Fatal(err)
	}
	d := testDiode()
	d.Pairing, d.Send.ResendRate = "p", 8_000
	files, err := g.pairings(pairing.Send, d)
	if err != nil {
		t.Fatal(err)
	}
	g.opts.Node = "near"
	g.view.Send = []config.LinkView{{Diode: d, Group: "d"}}
	g.view.Receive = []config.LinkView{{Diode: &config.Diode{Name: "in", From: "plant", To: "near"}, Group: "in"}}
	l := &link{diode: d, direction: "send", origin: testOrigin(t, dir, viaOrigin("d"), spool.Options{}), pairings: files, log: quiet()}
	g.links = []*link{l}
	return g, l
}

// damaged makes a log begin another epoch at its next start.
func damaged(t *testing.T, dir, class string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, originDir(viaOrigin("d")), class, "*.seg"))
	if err != nil || len(names) == 0 {
		t.Fatalf("%q %v", names, err)
	}
	slices.Sort(names)
	f, err := os.OpenFile(names[len(names)-1], os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte("x"), 5000)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// threeEpochs fills a bulk log with three batches of weight 10 in each of three epochs.
func threeEpochs(t *testing.T) (dir string, epochs [][16]byte) {
	t.Helper()
	dir = t.TempDir()
	for i := range 3 {
		o, err := openOrigin(dir, viaOrigin("d"), spool.Options{}, quiet())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.cursors("link.d"); err != nil { // keeps everything
			t.Fatal(err)
		}
		epochs = append(epochs, o.logs[0].Epoch())
		for range 3 {
			appendBatch(t, o, []byte("0123456789"), 10)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		if i < 2 {
			damaged(t, dir, "bulk")
		}
	}
	return dir, epochs
}

func TestErasOfASpoolThatWasRepaired(t *testing.T) {
	dir, epochs := threeEpochs(t)
	o := testOrigin(t, dir, viaOrigin("d"), spool.Options{})
	got, err := erasOf(t.Context(), o.logs[0])
	want := []era{{epochs[2], 7, 9}, {epochs[1], 4, 6}, {epochs[0], 1, 3}}
	if err != nil || !slices.Equal(got, want) {
		t.Fatalf("%v %v, want %v", got, err, want)
	}
	if got, err := erasOf(t.Context(), o.logs[1]); err != nil || len(got) != 1 || got[0].last != 0 {
		t.Fatalf("an empty log: %v %v", got, err)
	}
}

func TestADryRunSaysHowMuchAResendWouldBe(t *testing.T) {
	dir, epochs := threeEpochs(t)
	g, l := nearNode(t, dir)
	foreign := [16]byte{9}
	entry := func(epoch [16]byte, first, last uint64) report.Entry {
		return report.Entry{Epoch: epoch, First: first, Last: last}
	}
	made := func(name string, entries ...report.Entry) []byte {
		var b bytes.Buffer
		p := l.pairings[0]
		slices.SortFunc(entries, func(a, b report.Entry) int { return bytes.Compare(a.Epoch[:], b.Epoch[:]) })
		err := report.Write(&b, report.Report{MadeAt: time.Now(), Entries: entries}, report.Key{LinkID: frame.LinkID(name), KeyID: p.KeyID, PSK: p.PSK()})
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	for _, c := range []struct {
		name             string
		r                console.ResendRequest
		batches, missing uint64
		refused          int
		err              string
	}{
		{"typed", console.ResendRequest{Ranges: "2-3,8"}, 3, 0, 0, ""},
		{"typed beyond the newest", console.ResendRequest{Ranges: "9-12"}, 1, 3, 0, ""},
		{"typed, of the other class", console.ResendRequest{Ranges: "1-2", Class: "critical"}, 0, 2, 0, ""},
		{"of no class", console.ResendRequest{Ranges: "1", Class: "urgent"}, 0, 0, 0, `class "urgent"`},
		{"a slip", console.ResendRequest{Ranges: "3-1"}, 0, 0, 0, "did you mean 1-3"},
		{"nothing", console.ResendRequest{}, 0, 0, 0, "ranges or a report"},
		{"report of all epochs", console.ResendRequest{Report: made("d", entry(epochs[0], 2, 3), entry(epochs[1], 4, 4), entry(epochs[2], 9, 9))}, 4, 0, 0, ""},
		{"report of an unknown end", console.ResendRequest{Report: made("d", entry(epochs[0], 2, 0))}, 2, 0, 0, ""},
		{"report beyond an epoch", console.ResendRequest{Report: made("d", entry(epochs[0], 3, 5))}, 1, 2, 0, ""},
		{"report of a foreign epoch", console.ResendRequest{Report: made("d", entry(foreign, 1, 9), entry(epochs[2], 7, 7))}, 1, 0, 1, ""},
		{"report of another link", console.ResendRequest{Report: made("e", entry(epochs[0], 1, 2))}, 0, 0, 0, "another link or pairing"},
		{"garbage", console.ResendRequest{Report: make([]byte, 500)}, 0, 0, 0, "sluice diode gaps d --report FILE on far"},
		{"report and class", console.ResendRequest{Report: []byte("x"), Class: "bulk"}, 0, 0, 0, "leave the class out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.r.Link, c.r.DryRun = "d", true
			got, err := g.Resend(t.Context(), c.r)
			if (err == nil) != (c.err == "") || (err != nil && !strings.Contains(err.Error(), c.err)) {
				t.Fatalf("%v, want %q", err, c.err)
			}
			if got.Batches != c.batches || got.Records != 10*c.batches || got.Missing != c.missing || len(got.Refused) != c.refused {
				t.Fatalf("%+v", got)
			}
			if (got.Seconds > 0) != (c.batches > 0) {
				t.Errorf("takes %v s", got.Seconds)
			}
		})
	}
}

func TestAResendNeedsTheRightNodeAndALinkThatRuns(t *testing.T) {
	g, _ := nearNode(t, t.TempDir())
	for name, code := range map[string]string{"d": console.CodeNotNow, "in": console.CodeOtherSide, "x": console.CodeNoLink} {
		_, err := g.Resend(t.Context(), console.ResendRequest{Link: name, Ranges: "1"})
		if e, ok := errors.AsType[*console.Error](err); !ok || e.Code != code {
			t.Errorf("%s: %v, want %s", name, err, code)
		}
	}
}

func TestExplainNamesReceiversAndEndpoints(t *testing.T) {
	g, l := nearNode(t, t.TempDir())
	began := time.Now()
	for range 2 {
		appendBatch(t, l.origin, testBatch(t, "udp.a", sdk.StreamID{1}, "x", "y"), 2)
	}
	appendBatch(t, l.origin, testBatch(t, "tcp.b", sdk.StreamID{2}, "x"), 1)
	appendBatch(t, l.origin, []byte("no batch"), 7)
	got, err := g.Explain(t.Context(), console.ExplainRequest{Link: "d", Ranges: "2-6"})
	if err != nil || got.Batches != 3 || got.Records != 2+1+7 || got.Missing != 2 || got.Cut != "" {
		t.Fatalf("%+v %v", got, err)
	}
	if got.From.Before(began.Add(-time.Second)) || got.To.Before(got.From) {
		t.Errorf("from %v to %v", got.From, got.To)
	}
	var names []string
	for _, r := range got.Receivers {
		names = append(names, r.Name)
	}
	if !slices.Equal(names, []string{"(unreadable)", "udp.a", "tcp.b"}) {
		t.Fatalf("receivers %q", names)
	}
	if e := got.Receivers[1].Endpoints; len(e) != 1 || e[0].Endpoint != "192.0.2.1" || e[0].Records != 2 || !e[0].From.Equal(time.Unix(1, 0)) {
		t.Errorf("%+v", e)
	}
}

func TestASourceTellsEpochTimeAndAge(t *testing.T) {
	dir, epochs := threeEpochs(t)
	_, l := nearNode(t, dir)
	sources, err := l.sources()
	if err != nil || len(sources) != 2 {
		t.Fatalf("%d sources, %v", len(sources), err)
	}
	bulk := sources[0]
	if e := bulk.epoch; e.ID != epochs[2] || e.Prev != epochs[1] || e.Start != 7 || e.StartSum != 60 {
		t.Errorf("%+v", e)
	}
	buf := make([]byte, diode.MaxBatchBytes)
	for seq := uint64(1); seq <= 9; seq++ {
		b, err := bulk.Next(soon(t), buf)
		if err != nil || b.Seq != seq || b.Epoch != epochs[(seq-1)/3] || b.Time.IsZero() || string(b.Data) != "0123456789" {
			t.Fatalf("%+v %v", b, err)
		}
	}
	bulk.look(1)
	if bulk.Oldest().IsZero() || bulk.Oldest().After(time.Now()) {
		t.Errorf("oldest %v", bulk.Oldest())
	}
	if bulk.look(10); !bulk.Oldest().IsZero() {
		t.Error("something waits")
	}
}

func TestASpoolOfOneClassGetsTheOther(t *testing.T) {
	dir := t.TempDir()
	l, err := spool.Open(filepath.Join(dir, "via-d", "bulk"), spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), 3, []byte{kindLocal, 0}, []byte("old")); err != nil {
		t.Fatal(err)
	}
	epoch := l.Epoch()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	o := testOrigin(t, dir, viaOrigin("d"), spool.Options{})
	if o.logs[0].Epoch() != epoch || o.log(sdk.ClassCritical) == o.log(sdk.ClassBulk) {
		t.Error("the bulk log is another one, or there is no critical one")
	}
	e, err := o.logs[0].Read(1, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := source{log: o.logs[0]}
	if b := s.batch(e); string(b.Data) != "old" || !b.Time.IsZero() {
		t.Errorf("%+v", b)
	}
}
