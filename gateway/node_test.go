package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// site has two nodes on the loopback interface, a receiver, a diode and two sinks. PORT, LINK and FAULT are replaced.
const site = `
gateway {
  site = "test"
}
node "near" {
  service_interfaces = ["lo"]
}
node "far" {
  service_interfaces = ["lo"]
}
diode "d" {
  from    = node.near
  to      = node.far
  pairing = "test"
  send {
    interface   = "lo"
    source      = "127.0.0.1"
    destination = "127.0.0.1:LINK"
  }
  receive {
    interface = "lo"
  }
}
receiver "grams" "r" {
  node = node.near
  port = PORT
  config {
    fault = "dies"
  }
}
route "all" {
  from = [receiver.grams.r]
  via  = diode.d
  to   = [sink.keep.a, sink.keep.b]
}
sink "keep" "a" {
  node = node.far
  config {
    path = "out/a.txt"
  }
}
sink "keep" "b" {
  node = node.far
  config {
    path  = "out/b.txt"
    fault = "FAULT"
  }
}
`

// withoutB is the site after an operator took a sink out.
func withoutB(text string) string {
	text, _, _ = strings.Cut(text, `sink "keep" "b"`)
	return strings.Replace(text, ", sink.keep.b", "", 1)
}

// rig is a machine on which both nodes run, one start after the other.
type rig struct {
	state, plugins string
	port, link     int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	state, err := os.MkdirTemp("", "gw") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(state) })
	r := &rig{state: state, plugins: t.TempDir(), port: freePort(t), link: freePort(t)}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sluice-receiver-grams", "sluice-sink-keep"} {
		if err := os.Symlink(self, filepath.Join(r.plugins, name)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// freePort asks the kernel for one that nobody has now.
func freePort(t *testing.T) int {
	t.Helper()
	var lc net.ListenConfig
	c, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // only its number is wanted
	a, _ := c.LocalAddr().(*net.UDPAddr)
	return a.Port
}

func (r *rig) text(fault string) string {
	return strings.NewReplacer("PORT", fmt.Sprint(r.port), "LINK", fmt.Sprint(r.link), "FAULT", fault).Replace(site)
}

func (r *rig) host(t *testing.T, name string) *pluginhost.Host {
	t.Helper()
	h, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{r.plugins}, RuntimeDir: filepath.Join(r.state, "run", name), Shim: []string{"/proc/self/exe", "plugin-exec"},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (r *rig) options(t *testing.T, text, node string, h *pluginhost.Host) gateway.Options {
	t.Helper()
	o := r.checked(t, text, h)
	o.Node = node
	return o
}

// checked is what all nodes of a configuration have in common: it is checked once, which starts every plugin.
func (r *rig) checked(t *testing.T, text string, h *pluginhost.Host) gateway.Options {
	t.Helper()
	cfg, _, problems := config.LoadFS(fstest.MapFS{"site.hcl": {Data: []byte(text), Mode: 0o600}}, config.WithVersion("0.1.0"))
	if cfg == nil {
		t.Fatal(problems)
	}
	plan, problems := gateway.Check(t.Context(), cfg, h, "")
	if problems.HasErrors() {
		t.Fatal(problems)
	}
	return gateway.Options{
		Plan: plan, StateDir: r.state, Version: "0.1.0", Host: h, BothEnds: true, Log: slog.New(slog.DiscardHandler),
	}
}

// run starts both nodes; the result stops them and says that everything ended without an error.
func (r *rig) run(t *testing.T, text string) (stop func()) {
	t.Helper()
	return r.runWith(t, text, text)
}

// runWith starts both nodes, which may have different configurations.
func (r *rig) runWith(t *testing.T, near, far string) (stop func()) {
	t.Helper()
	h := r.host(t, "all")
	ctx, cancel := context.WithCancel(t.Context())
	var gateways []*gateway.Gateway
	ended := make(chan error, 2)
	opts := r.checked(t, near, h)
	for _, node := range []string{"near", "far"} {
		if node == "far" && far != near {
			opts = r.checked(t, far, h)
		}
		opts.Node = node
		g, err := gateway.New(ctx, opts)
		if err != nil {
			t.Fatal(err)
		}
		gateways = append(gateways, g)
		go func() { ended <- g.Run(ctx) }()
	}
	stop = func() {
		if h == nil {
			return
		}
		cancel()
		err := errors.Join(<-ended, <-ended)
		for _, g := range gateways {
			err = errors.Join(err, g.Close())
		}
		if err := errors.Join(err, h.Close()); err != nil {
			t.Error(err)
		}
		h = nil
	}
	t.Cleanup(stop)
	eventually(t, "ready", func() bool { return gateways[0].Ready() && gateways[1].Ready() })
	return stop
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not %s within a minute", what)
		}
	}
}

func (r *rig) status(t *testing.T, node string) console.Status {
	t.Helper()
	st, err := console.Fetch(t.Context(), gateway.Socket(r.state, node))
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// send sends datagrams, few at a time so that the smallest receive buffer takes them.
func (r *rig) send(t *testing.T, payloads ...string) {
	t.Helper()
	var d net.Dialer
	c, err := d.DialContext(t.Context(), "udp", fmt.Sprintf("127.0.0.1:%d", r.port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() //nolint:errcheck // sent
	for _, p := range payloads {
		if _, err := c.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
}

func numbered(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprint("record ", i))
	}
	return out
}

// arrived returns the lines that a sink has written.
func (r *rig) arrived(t *testing.T, file string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(r.state, "out", file))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func (r *rig) waitFor(t *testing.T, file string, want []string) {
	t.Helper()
	last := want[len(want)-1]
	eventually(t, "there: "+last, func() bool { got := r.arrived(t, file); return got[len(got)-1] == last })
	if got := r.arrived(t, file); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("%s holds %d records, want %d: %q", file, len(got), len(want), got)
	}
}

func TestTwoNodesDeliverInOrderOnceAndGoOnAfterAStop(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 100)...)
	r.waitFor(t, "a.txt", numbered(0, 100))
	stop()
	stop = r.run(t, r.text(""))
	r.send(t, numbered(100, 200)...)
	r.waitFor(t, "a.txt", numbered(0, 200))
	r.waitFor(t, "b.txt", numbered(0, 200))
	far := r.status(t, "far")
	if l := far.Links[0]; l.Lost != (console.Drop{}) || len(l.Dropped) != 0 || l.Receive == nil || len(l.Receive.Health) == 0 {
		t.Errorf("link %+v", l)
	}
	stop()
}

// What is in the spools when the nodes stop is delivered after the next start, and nothing of it is lost on the way.
func TestWhatASinkHasNotTakenWaitsForTheNextStart(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text("hold"))
	r.send(t, numbered(0, 50)...)
	r.waitFor(t, "a.txt", numbered(0, 50))
	eventually(t, "holding", func() bool { return r.status(t, "far").Sinks[1].Holding == "it was told to" })
	stop()
	stop = r.run(t, r.text(""))
	r.waitFor(t, "b.txt", numbered(0, 50))
	stop()
}

func TestASinkThatWasTakenOutIsNamedAndHoldsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text("hold"))
	r.send(t, numbered(0, 50)...)
	r.waitFor(t, "a.txt", numbered(0, 50))
	stop()
	stop = r.run(t, withoutB(r.text("")))
	far := r.status(t, "far")
	if got := strings.Join(far.Warnings, "\n"); !strings.Contains(got, "keep.b") || !strings.Contains(got, "50 records") {
		t.Errorf("warnings %q", got)
	}
	if _, held := far.Spools[0].Cursors["sink.keep.b"]; held {
		t.Error("its cursor is still there")
	}
	stop()
}

// A datagram that died with its plugin is counted, and those before it are delivered.
func TestAPluginThatDiesTakesWithItOnlyWhatIsCounted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	r.send(t, numbered(0, 20)...)
	r.waitFor(t, "a.txt", numbered(0, 20))
	r.send(t, "die")
	eventually(t, "counted", func() bool {
		return r.status(t, "near").Receivers[0].Dropped["plugin-ended"] == console.Drop{Records: 1}
	})
	r.send(t, numbered(20, 40)...) // they wait in the kernel until it has been started again
	r.waitFor(t, "a.txt", numbered(0, 40))
	if got := r.status(t, "near").Receivers[0]; got.Plugin.Restarts != 1 || got.Traffic.KernelDrops != 0 {
		t.Errorf("receiver %+v", got)
	}
	stop()
}

func TestASecondGatewayOnTheSameStateIsRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	h := r.host(t, "second")
	opts := r.checked(t, r.text(""), h)
	for _, node := range []string{"near", "far"} {
		opts.Node = node
		g, err := gateway.New(t.Context(), opts)
		if !errors.Is(err, auditlog.ErrBusy) || !strings.Contains(err.Error(), "runs already") {
			t.Errorf("%s: %v", node, err)
		}
		if g != nil {
			t.Errorf("%s: there is a gateway", node)
		}
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if !r.status(t, "near").Ready {
		t.Error("the first one was disturbed")
	}
	stop()
}

// What programs read of a node that has just started: every list is there, and none is null.
func TestStatusHasNoNullLists(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	stop := r.run(t, r.text(""))
	for _, node := range []string{"near", "far"} {
		raw, err := console.FetchRaw(t.Context(), gateway.Socket(r.state, node))
		if err != nil {
			t.Fatal(err)
		}
		var lists map[string]json.RawMessage
		if err := json.Unmarshal(raw, &lists); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"receivers", "spools", "links", "sinks", "exceptions", "warnings"} {
			if b := lists[name]; len(b) == 0 || b[0] != '[' {
				t.Errorf("%s: %s is %s", node, name, b)
			}
		}
	}
	stop()
}

func TestANodeThatCannotStartSaysWhyAndLeavesNothingOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.host(t, "all")
	good := r.options(t, r.text(""), "near", h)
	for _, c := range []struct {
		name string
		with func(o *gateway.Options)
		want string
	}{
		{"no configuration", func(o *gateway.Options) { o.Plan = nil }, "no configuration"},
		{"no state directory", func(o *gateway.Options) { o.StateDir = "" }, "no state directory"},
		{"unknown node", func(o *gateway.Options) { o.Node = "nea" }, "did you mean near?"},
		{"no key", func(o *gateway.Options) { o.BothEnds = false }, "sluice diode pair d"},
		{"too long a path", func(o *gateway.Options) { o.StateDir = filepath.Join(r.state, strings.Repeat("x", 100)) }, "choose a shorter --state"},
		{"a file in the way", func(o *gateway.Options) { o.StateDir = "/dev/null" }, "not a directory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := good
			c.with(&o)
			g, err := gateway.New(t.Context(), o)
			if g != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
