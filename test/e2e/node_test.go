package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// patience is how long a test waits for something that takes milliseconds on an idle machine.
const patience = 60 * time.Second

// node is one gateway process inside a namespace.
type node struct {
	t      *testing.T
	ns     *netlab.Namespace
	name   string
	config string
	state  string

	cmd *exec.Cmd
	out *logBuffer
	end chan error
}

// logBuffer keeps what a process printed.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (n *node) start() {
	n.t.Helper()
	n.launch()
	n.eventually("ready", func() bool { return n.tryStatus().Ready })
}

// launch starts the process and does not wait for it.
func (n *node) launch() {
	n.t.Helper()
	n.cmd = n.ns.Command(context.Background(), filepath.Join(binDir(n.t), "sluice"), "run",
		"--config", n.config, "--node", n.name, "--state", n.state, "--log-format", "json")
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	n.end = make(chan error, 1)
	cmd, end := n.cmd, n.end
	go func() { end <- cmd.Wait() }()
}

// kill ends the process without warning; its plugins are to die with it.
func (n *node) kill() {
	n.t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		n.t.Fatal(err)
	}
	<-n.end //nolint:errcheck // it was killed
}

// stop ends the process in order.
func (n *node) stop() {
	n.t.Helper()
	if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		n.t.Fatal(err)
	}
	select {
	case err := <-n.end:
		if err != nil {
			n.t.Errorf("node %s ended with %v\n%s", n.name, err, n.out)
		}
	case <-time.After(patience):
		n.t.Errorf("node %s did not stop\n%s", n.name, n.out)
		_ = n.cmd.Process.Kill()
		<-n.end //nolint:errcheck // it was killed
	}
}

// status asks the node over its socket: a file, which namespaces of the network do not keep apart.
func (n *node) status() console.Status {
	n.t.Helper()
	st, err := console.Fetch(context.Background(), gateway.Socket(n.state, n.name))
	if err != nil {
		n.t.Fatalf("node %s: %v\n%s", n.name, err, n.out)
	}
	return st
}

func (n *node) tryStatus() console.Status {
	st, err := console.Fetch(context.Background(), gateway.Socket(n.state, n.name))
	if err != nil {
		return console.Status{}
	}
	return st
}

func (n *node) eventually(what string, ok func() bool) {
	n.t.Helper()
	eventually(n.t, what, patience, ok, func() string { return "node " + n.name + ":\n" + n.out.String() })
}

// eventually polls until ok, and fails with what and the details when it takes too long.
func eventually(t *testing.T, what string, limit time.Duration, ok func() bool, detail func() string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(limit)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within %s: %s\n%s", limit, what, detail())
		}
	}
}

// plugin returns the process of a receiver or sink; 0 while none runs.
func (n *node) plugin(label string) int {
	st := n.tryStatus()
	for _, r := range st.Receivers {
		if r.Name == label && r.Plugin.Status == "running" {
			return r.Plugin.PID
		}
	}
	for _, s := range st.Sinks {
		if s.Name == label && s.Plugin.Status == "running" {
			return s.Plugin.PID
		}
	}
	return 0
}

// killPlugin kills a plugin's process and waits until another runs.
func (n *node) killPlugin(label string) {
	n.t.Helper()
	pid := n.plugin(label)
	if pid == 0 {
		n.t.Fatalf("plugin %s does not run", label)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		n.t.Fatal(err)
	}
	n.eventually("plugin "+label+" again", func() bool { p := n.plugin(label); return p != 0 && p != pid })
}

// spooled returns the records that are durable in the origin that the link sends from.
func (n *node) spooled(origin string) uint64 {
	for _, s := range n.tryStatus().Spools {
		if s.Origin == origin {
			return s.Records
		}
	}
	return 0
}

func writeFile(t *testing.T, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

// pair is the two nodes of a site in its namespaces, with one pairing.
type pair struct {
	site       *netlab.Site
	plant, dmz *node
	dir        string
}

// link says what differs between tests in the configuration of the one-way link.
type link struct {
	rate, parity, designLoss, repeat string
}

func newPair(t *testing.T, l link) *pair {
	t.Helper()
	site := netlab.NewSite(t)
	dir, err := os.MkdirTemp("", "sluice-e2e-") // short: unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &pair{site: site, dir: dir}
	config := filepath.Join(dir, "config")
	writeFile(t, filepath.Join(config, "site.hcl"), siteConfig(l), 0o600)
	send, receive, err := pairing.Make("link", "test", nil)
	if err != nil {
		t.Fatal(err)
	}
	for side, file := range map[string]pairing.File{"p": send, "d": receive} {
		if _, err := pairing.Write(filepath.Join(dir, side, "keys"), file); err != nil {
			t.Fatal(err)
		}
	}
	p.plant = &node{t: t, ns: site.Plant, name: "plant", config: config, state: filepath.Join(dir, "p"), out: &logBuffer{}}
	p.dmz = &node{t: t, ns: site.DMZ, name: "dmz", config: config, state: filepath.Join(dir, "d"), out: &logBuffer{}}
	emptyAtEnd(p.plant, p.dmz)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("plant:\n%s\ndmz:\n%s", tail(p.plant.out), tail(p.dmz.out))
		}
	})
	return p
}

// emptyAtEnd ends the wardens, which outlive their cores, before the state directories are removed.
func emptyAtEnd(nodes ...*node) {
	for _, n := range nodes {
		n.t.Cleanup(n.ns.Empty)
	}
}

func tail(l *logBuffer) string {
	const most = 6000
	s := l.String()
	return s[max(0, len(s)-most):]
}

func (p *pair) start() {
	p.dmz.start()
	p.plant.start()
}

func (p *pair) stop() {
	p.plant.stop()
	p.dmz.stop()
}

// origin of everything that crosses the link, on either side.
const (
	nearOrigin = "via link"
	farOrigin  = "from link"
)

// records is the file that the far side writes syslog records to.
func (p *pair) records() string { return filepath.Join(p.dmz.state, "out", "records.ndjson") }

func siteConfig(l link) string {
	return fmt.Sprintf(`
gateway { site = "e2e" }

node "plant" {
  monitoring_points  = [%[1]q]
  service_interfaces = [%[2]q]
}

node "dmz" { service_interfaces = [%[3]q] }

diode "link" {
  from    = node.plant
  to      = node.dmz
  pairing = "test"

  send {
    interface   = %[4]q
    source      = %[5]q
    destination = "%[6]s:5760"
    rate        = %[7]q
  }

  receive { interface = %[8]q }

  fec {
    parity      = %[9]q
    design_loss = %[10]q
    repeat      = [%[11]s]
  }
}

receiver "udp" "agents-a" {
  node = node.plant
  port = 20001
  config { protocol = "opaque" }
}

receiver "udp" "agents-b" {
  node = node.plant
  port = 20002
  config { protocol = "opaque" }
}

receiver "udp" "syslog" {
  node = node.plant
  port = 5514
  config { protocol = "syslog" }
}

receiver "tcp" "syslog" {
  node = node.plant
  port = 6514
  config {
    tls { certificate = "auto" }
  }
}

route "a" {
  from = [receiver.udp.agents-a]
  via  = diode.link
  to   = [sink.kics.a]
}

route "b" {
  from = [receiver.udp.agents-b]
  via  = diode.link
  to   = [sink.kics.b]
}

route "syslog" {
  from = [receiver.udp.syslog, receiver.tcp.syslog]
  via  = diode.link
  to   = [sink.file.records]
}

sink "kics" "a" {
  node    = node.dmz
  connect = ["%[12]s:20001"]
  config {
    mode = "telemetry"
    rate = "20000/s"
  }
}

sink "kics" "b" {
  node    = node.dmz
  connect = ["%[12]s:20002"]
  config {
    mode = "telemetry"
    rate = "20000/s"
  }
}

sink "file" "records" {
  node = node.dmz
  config { path = "out/records.ndjson" }
}
`, netlab.PlantMonitoring, netlab.PlantService, netlab.DMZService, netlab.PlantDiode,
		netlab.PlantDiodeAddr().Addr(), netlab.DMZDiodeAddr().Addr(), l.rate, netlab.DMZDiode, l.parity, l.designLoss, l.repeat,
		netlab.KICSAddr().Addr()) + exceptions("agents-a", "agents-b", "syslog")
}

func exceptions(names ...string) string {
	var b bytes.Buffer
	for _, n := range names {
		fmt.Fprintf(&b, `
exception "plain-%[1]s" {
  allows      = "unencrypted_udp"
  on          = receiver.udp.%[1]s
  reason      = "a test"
  approved_by = "nobody"
  until       = "2099-12-31"
}
`, n)
	}
	return b.String()
}
