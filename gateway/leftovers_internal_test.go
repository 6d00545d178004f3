package gateway

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// testGateway is a node that has opened nothing: its spools are opened one by one.
func testGateway(t *testing.T, sinks ...config.Sink) *Gateway {
	t.Helper()
	node := config.Node{Name: "n", Spool: config.Spool{WhenFull: "refuse"}}
	cfg := &config.Config{Nodes: []config.Node{node}, Sinks: sinks}
	for i := range cfg.Sinks {
		cfg.Sinks[i].Node = "n"
	}
	g := &Gateway{
		opts: Options{Plan: &Plan{Config: cfg, parts: map[string]part{}}, Node: "n", StateDir: t.TempDir(), Log: quiet()},
		view: config.NodeView{Node: &node}, log: quiet(), origins: map[string]*origin{},
	}
	t.Cleanup(func() { _ = g.Close() })
	if err := errors.Join(privateDir(g.opts.nodeDir()), g.openAudit()); err != nil {
		t.Fatal(err)
	}
	return g
}

// earlier makes a spool as an earlier run left it: with entries, and with consumers that have had the first ones.
func (g *Gateway) earlier(t *testing.T, name string, entries int, consumers map[string]uint64) {
	t.Helper()
	o, err := openOrigin(g.spoolDir(), name, spool.Options{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	for c := range consumers {
		if _, err := o.cursors(c); err != nil {
			t.Fatal(err)
		}
	}
	for range entries {
		appendBatch(t, o, []byte("x"), 10)
	}
	for c, through := range consumers {
		cs, err := o.cursors(c)
		if err != nil {
			t.Fatal(err)
		}
		cs[0].Ack(through)
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
}

func consumerNames(o *origin) []string {
	var out []string
	for _, c := range o.consumers() {
		out = append(out, c.name)
	}
	return out
}

func TestASpoolThatIsNotUsedAnyMore(t *testing.T) {
	for _, c := range []struct {
		name      string
		consumers map[string]uint64 // how many of 3 entries they have had
		open      bool              // because a sink of this node is behind in it
		warning   string
	}{
		{"all delivered", map[string]uint64{"sink.file.a": 3, "link.d": 3}, false, ""},
		{"a sink is behind", map[string]uint64{"sink.file.a": 1}, true, ""},
		{"a sink that is off is behind: kept", map[string]uint64{"sink.file.off": 1}, true, ""},
		{"a sink that stands nowhere is behind", map[string]uint64{"sink.file.gone": 1}, false, "sink file.gone is not configured any more: 20 records"},
		{"a diode is behind", map[string]uint64{"link.d": 2}, false, `10 records in `},
		{"both are behind", map[string]uint64{"link.d": 2, "sink.file.a": 0}, true, `wait for diode "d"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := testGateway(t, config.Sink{Address: "sink.file.a", Enabled: true}, config.Sink{Address: "sink.file.off"})
			g.earlier(t, "via d", 3, c.consumers)
			if err := g.openLeftovers(); err != nil {
				t.Fatal(err)
			}
			if _, open := g.origins["via d"]; open != c.open {
				t.Errorf("open %v, want %v", open, c.open)
			}
			got := strings.Join(g.warnings, "\n")
			if c.warning == "" && got != "" || !strings.Contains(got, c.warning) {
				t.Errorf("warnings %q, want %q", got, c.warning)
			}
		})
	}
}

// A cursor of a sink that was removed would keep the spool from ever being freed.
func TestTheCursorOfARemovedSinkGoesAndThatOfADisabledOneStays(t *testing.T) {
	g := testGateway(t, config.Sink{Address: "sink.file.off"})
	g.earlier(t, "local", 3, map[string]uint64{"sink.file.off": 1, "sink.file.gone": 2, "link.d": 0})
	o, err := g.origin("local", spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.openSinks(); err != nil {
		t.Fatal(err)
	}
	if got := consumerNames(o); !slices.Equal(got, []string{"link.d", "sink.file.off"}) {
		t.Errorf("cursors %q", got)
	}
	if got := strings.Join(g.warnings, "\n"); !strings.Contains(got, "10 records") {
		t.Errorf("warnings %q", got)
	}
}

// A sink that is closed because its exception has ended loses nothing that comes meanwhile.
func TestAClosedSinkKeepsItsPlace(t *testing.T) {
	g := testGateway(t, config.Sink{Address: "sink.file.a", Enabled: true})
	g.view.Sinks = []config.SinkView{{Sink: &g.opts.Plan.Config.Sinks[0]}}
	o, err := g.origin("local", spool.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.openSinks(); err != nil {
		t.Fatal(err)
	}
	if got := consumerNames(o); !slices.Equal(got, []string{"sink.file.a"}) || len(g.sinks) != 0 {
		t.Errorf("cursors %q, %d sinks", got, len(g.sinks))
	}
}

func TestWhatIsNoSpoolIsLeftAlone(t *testing.T) {
	g := testGateway(t)
	for _, name := range []string{"lost+found", "via-", "notes"} {
		if err := os.MkdirAll(filepath.Join(g.spoolDir(), name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.openLeftovers(); err != nil || len(g.origins) != 0 || len(g.warnings) != 0 {
		t.Errorf("%v, origins %v, warnings %q", err, g.origins, g.warnings)
	}
	if names, _ := filepath.Glob(filepath.Join(g.spoolDir(), "*", "*")); len(names) != 0 {
		t.Errorf("made %q", names)
	}
}

// A spool of an earlier configuration that another process holds, or that is damaged beyond use, is told and passed.
func TestALeftoverThatCannotBeOpenedIsToldAndPassed(t *testing.T) {
	g := testGateway(t)
	g.earlier(t, "via d", 1, map[string]uint64{"link.d": 0})
	held, err := openOrigin(g.spoolDir(), "via d", spool.Options{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close() //nolint:errcheck // nothing in it
	if err := g.openLeftovers(); err != nil || len(g.warnings) != 1 || !strings.Contains(g.warnings[0], "cannot be opened") {
		t.Errorf("%v, warnings %q", err, g.warnings)
	}
}

func TestNamesOfAnyLengthThatTheConfigurationAllows(t *testing.T) {
	long := strings.Repeat("a", 63)
	o := testOrigin(t, t.TempDir(), viaOrigin(strings.Join([]string{long + "1", long + "2", long + "3", long + "4"}, "+")), spool.Options{})
	seen := map[string]bool{}
	for _, name := range []string{
		cursorName(linkCursor, "d"), cursorName(linkCursor, long), cursorName(linkCursor, long[:62]+"b"),
		cursorName(sinkCursor, long+"."+long), cursorName(sinkCursor, long+"."+long[:62]+"b"),
	} {
		if _, err := o.cursors(name); err != nil {
			t.Error(err)
		}
		seen[name] = true
	}
	if len(seen) != 5 || !seen["link.d"] {
		t.Errorf("names %v", seen)
	}
	if a, b := originDir("via "+strings.Repeat("a", 300)), originDir("via "+strings.Repeat("a", 301)); a == b || originDir(a) != a {
		t.Errorf("%q and %q", a, b)
	}
}

func TestWarningsStandInTheLogAndInStatus(t *testing.T) {
	var out bytes.Buffer
	g := testGateway(t)
	g.log = slog.New(slog.NewTextHandler(&out, nil))
	g.warn("%d is odd", 7)
	if !strings.Contains(out.String(), "7 is odd") || len(g.warnings) != 1 {
		t.Errorf("%q %q", out.String(), g.warnings)
	}
}
