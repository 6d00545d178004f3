package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// shape is what differs between tests in the configuration of a crossing. The texts are lines of HCL.
type shape struct {
	diodes         int    // in parallel; 0 is 1
	rate           string // of the line; empty: 100Mbit
	send, receive  string // more lines of these blocks
	fec            string // instead of a parity of 25%
	plant, dmz     string // more lines of the nodes
	pairing, older string // empty: "first", and none
	noAddress      bool   // the receiving interfaces have no IP address
}

// crossing is two nodes with nothing but one-way links between them:
//
//	plant              wire0             dmz
//	┌────────────┐   ┌────────────┐   ┌────────────────────┐
//	│ lo    dtx0 ├──>│ in0 → out0 ├──>│ drx0               │
//	│ :5140 dtx1 ├──>│ wire1 …    ├──>│ drx1  records.ndjson│
//	└────────────┘   └────────────┘   └────────────────────┘
//
// The nodes keep the neighbour entries themselves: no test sets them.
type crossing struct {
	t          *testing.T
	plant, dmz *node
	wires      []*netlab.OneWay
	cables     []*netlab.Namespace // of the wires
	dir        string
	macs       []string // of the receiving interfaces
	shape      shape
	sent       [][]byte // payloads in the order in which they were taken in
}

// diodeName is a, b …
func diodeName(i int) string { return string(rune('a' + i)) }

// diodeAddr is an end's address on the i-th diode: host 1 sends, 2 receives.
func diodeAddr(i, host int) netip.Prefix {
	return netip.MustParsePrefix(fmt.Sprintf("10.78.%d.%d/24", i, host))
}

func newCrossing(t *testing.T, s shape) *crossing {
	t.Helper()
	t.Parallel() // they mostly wait
	lab := netlab.New(t)
	dir, err := os.MkdirTemp("", "sluice-e2e-") // short: unix sockets lie below it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	c := &crossing{t: t, dir: dir, shape: s}
	c.plant = &node{t: t, ns: lab.Namespace("plant"), name: "plant", config: filepath.Join(dir, "config"), state: filepath.Join(dir, "p"), out: &logBuffer{}}
	c.dmz = &node{t: t, ns: lab.Namespace("dmz"), name: "dmz", config: filepath.Join(dir, "config"), state: filepath.Join(dir, "d"), out: &logBuffer{}}
	emptyAtEnd(c.plant, c.dmz)
	for i := range max(1, s.diodes) {
		c.lay(lab, i)
	}
	c.configure(s)
	c.pair("first")
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("plant:\n%s\ndmz:\n%s", tail(c.plant.out), tail(c.dmz.out))
		}
	})
	return c
}

// lay lays the i-th diode.
func (c *crossing) lay(lab *netlab.Lab, i int) {
	c.t.Helper()
	wire := lab.Namespace(fmt.Sprint("wire", i))
	tx, rx := fmt.Sprint("dtx", i), fmt.Sprint("drx", i)
	lab.Cable(netlab.End{In: c.plant.ns, Name: tx, Addrs: []netip.Prefix{diodeAddr(i, 1)}}, netlab.End{In: wire, Name: "in0"})
	far := netlab.End{In: c.dmz.ns, Name: rx}
	if !c.shape.noAddress {
		far.Addrs = []netip.Prefix{diodeAddr(i, 2)}
	}
	lab.Cable(netlab.End{In: wire, Name: "out0"}, far)
	c.plant.ns.Sysctl("net.ipv6.conf."+tx+".disable_ipv6", "1")
	c.dmz.ns.Sysctl("net.ipv6.conf."+rx+".disable_ipv6", "1")
	c.plant.ns.Run("ip", "link", "set", tx, "arp", "off")
	c.dmz.ns.Run("ip", "link", "set", rx, "arp", "off")
	c.cables = append(c.cables, wire)
	c.wires = append(c.wires, wire.Forward("in0", "out0"))
	c.macs = append(c.macs, c.dmz.ns.MAC(rx))
}

// configure writes the configuration that both nodes have.
func (c *crossing) configure(s shape) {
	c.t.Helper()
	if s.pairing == "" {
		s.pairing = "first"
	}
	if s.rate == "" {
		s.rate = "100Mbit"
	}
	if s.fec == "" {
		s.fec = `parity = "25%"`
	}
	if s.older != "" {
		s.older = fmt.Sprintf("previous_pairing = %q", s.older)
	}
	var b bytes.Buffer
	var via []string
	for i, mac := range c.macs {
		via = append(via, "diode."+diodeName(i))
		fmt.Fprintf(&b, diodeConfig, diodeName(i), s.pairing, s.older, i, diodeAddr(i, 1).Addr(), diodeAddr(i, 2).Addr(), mac, s.rate, s.send, s.receive, s.fec)
	}
	fmt.Fprintf(&b, crossingConfig, s.plant, s.dmz, strings.Join(via, ", "))
	writeFile(c.t, filepath.Join(c.plant.config, "site.hcl"), b.String(), 0o600)
}

const diodeConfig = `
diode %[1]q {
  from    = node.plant
  to      = node.dmz
  pairing = %[2]q
  %[3]s

  send {
    interface       = "dtx%[4]d"
    source          = "%[5]s"
    destination     = "%[6]s:5760"
    destination_mac = %[7]q
    rate            = %[8]q
    %[9]s
  }

  receive {
    interface = "drx%[4]d"
    %[10]s
  }

  fec {
    %[11]s
  }
}
`

const crossingConfig = `
gateway { site = "e2e" }

node "plant" {
  service_interfaces = ["lo"]
  %[1]s
}

node "dmz" {
  service_interfaces = ["lo"]
  %[2]s
}

receiver "tcp" "in" {
  node = node.plant
  port = 5140

  config {
    protocol = "syslog"
    critical = "err"
  }
}

route "all" {
  from = [receiver.tcp.in]
  via  = [%[3]s]
  to   = [sink.file.records]
}

sink "file" "records" {
  node = node.dmz
  config { path = "out/records.ndjson" }
}

exception "plain" {
  allows      = "unencrypted_tcp"
  on          = receiver.tcp.in
  reason      = "a test"
  approved_by = "nobody"
  until       = "2099-12-31"
}
`

// pair makes a pairing of each diode and carries it to the nodes, as an operator does.
func (c *crossing) pair(name string) {
	c.t.Helper()
	stick := filepath.Join(c.dir, "usb")
	for i := range c.macs {
		c.plant.sluice("diode", "pair", diodeName(i), "--pairing", name, "--out", stick)
	}
	c.install(c.plant, "send", name)
	c.install(c.dmz, "receive", name)
}

// install puts a node's carried keys in their place.
func (c *crossing) install(n *node, side, name string) {
	c.t.Helper()
	for i := range c.macs {
		n.sluice("diode", "pair", "--install", filepath.Join(c.dir, "usb", fmt.Sprintf("%s-%s.%s.json", diodeName(i), name, side)))
	}
}

// sluice runs a command line on the node and returns what it printed. A command that fails ends the test.
func (n *node) sluice(args ...string) string {
	n.t.Helper()
	out, err := n.trySluice(args...)
	if err != nil {
		n.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func (n *node) trySluice(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := n.ns.Command(ctx, filepath.Join(binDir(n.t), "sluice"), append(args, "--state", n.state)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s$ sluice %s: %w: %s", n.name, strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func (c *crossing) start() *crossing {
	c.t.Helper()
	c.dmz.start()
	c.plant.start()
	c.up()
	return c
}

// up waits until the far side hears the near side on all diodes.
func (c *crossing) up() {
	c.t.Helper()
	c.dmz.eventually("the link is up", func() bool {
		links := c.dmz.tryStatus().Links
		for _, l := range links {
			if l.State != "up" {
				return false
			}
		}
		return len(links) == len(c.macs)
	})
}

func (c *crossing) stop() {
	c.t.Helper()
	c.plant.stop()
	c.dmz.stop()
}

// load is what to send.
type load struct {
	n    int
	size int           // bytes of padding in each
	over time.Duration // spread over this time
	high bool          // critical
}

// flow hands records to the near side while the test goes on. What it returns waits until they are on the near side's
// disk; until then the test looks at nothing that was sent.
func (c *crossing) flow(l load) func() {
	c.t.Helper()
	before := c.durable()
	conn := c.dial()
	done := make(chan error, 1)
	go func() { done <- c.write(conn, l) }()
	return func() {
		c.t.Helper()
		if err := <-done; err != nil {
			c.t.Fatalf("send to the near side: %v", err)
		}
		c.plant.eventually(fmt.Sprintf("%d records on the near side's disk", l.n), func() bool { return c.durable() >= before+uint64(l.n) })
	}
}

// send does the same at once.
func (c *crossing) send(l load) {
	c.t.Helper()
	c.flow(l)()
}

// write sends records over a connection and closes it.
func (c *crossing) write(conn net.Conn, l load) error {
	defer conn.Close() //nolint:errcheck // nothing comes back
	const step = 10 * time.Millisecond
	each := l.n
	if l.over > 0 {
		each = max(1, int(int64(l.n)*int64(step)/int64(l.over)))
	}
	tick := time.NewTicker(step)
	defer tick.Stop()
	for l.n > 0 {
		var b bytes.Buffer
		for range min(each, l.n) {
			p := c.payload(l)
			c.sent = append(c.sent, p)
			b.Write(append(p, '\n'))
		}
		l.n -= min(each, l.n)
		if _, err := conn.Write(b.Bytes()); err != nil {
			return err
		}
		<-tick.C
	}
	return nil
}

func (c *crossing) payload(l load) []byte {
	priority := 14 // user.info
	if l.high {
		priority = 11 // user.err
	}
	return fmt.Appendf(nil, "<%d>1 - e2e app - - - record-%07d %s", priority, len(c.sent), strings.Repeat("x", l.size))
}

func (c *crossing) dial() net.Conn {
	c.t.Helper()
	var conn net.Conn
	c.plant.eventually("the near side listens", func() bool {
		return c.plant.ns.Do(func() (err error) {
			d := net.Dialer{Timeout: time.Second}
			conn, err = d.DialContext(c.t.Context(), "tcp", "127.0.0.1:5140")
			return err
		}) == nil
	})
	return conn
}

// durable is how many records the near side holds on its disk for the link.
func (c *crossing) durable() uint64 { return recordsIn(c.plant, "via ") }

// stored is how many the far side holds.
func (c *crossing) stored() uint64 { return recordsIn(c.dmz, "from ") }

func recordsIn(n *node, origin string) uint64 {
	var sum uint64
	for _, s := range n.tryStatus().Spools {
		if strings.HasPrefix(s.Origin, origin) {
			sum += s.Records
		}
	}
	return sum
}

func (c *crossing) records() string { return filepath.Join(c.dmz.state, "out", "records.ndjson") }

// arrived are the payloads in the far side's file, in its order.
func (c *crossing) arrived() [][]byte {
	c.t.Helper()
	if _, err := os.Stat(c.records()); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var out [][]byte
	for _, r := range readRecords(c.t, c.records()) {
		out = append(out, r.bytes(c.t))
	}
	return out
}

// missing are the records that were sent and are not in the far side's file. What is there twice or was never sent ends
// the test.
func (c *crossing) missing() [][]byte {
	c.t.Helper()
	there := map[string]int{}
	for _, p := range c.arrived() {
		there[string(p)]++
	}
	var out [][]byte
	for _, p := range c.sent {
		switch n := there[string(p)]; {
		case n == 0:
			out = append(out, p)
		case n > 1:
			c.t.Fatalf("%q is in the far side's file %d times", head(p), n)
		}
		delete(there, string(p))
	}
	for p := range there {
		c.t.Fatalf("%q is in the far side's file and was never sent", head([]byte(p)))
	}
	return out
}

func head(p []byte) []byte { return p[:min(len(p), 60)] }

// whole waits until each record is in the far side's file, once.
func (c *crossing) whole(when string) {
	c.t.Helper()
	c.dmz.eventually(fmt.Sprintf("%s: all %d records in the far side's file", when, len(c.sent)), func() bool {
		return countLines(c.records()) >= len(c.sent)
	})
	if m := c.missing(); len(m) > 0 {
		c.t.Fatalf("%s: %d of %d records are missing, the first is %q", when, len(m), len(c.sent), head(m[0]))
	}
}

// totals are the ledger's sums over both classes.
func (c *crossing) totals() console.GapTotals {
	var sum console.GapTotals
	add := func(to *console.Amount, a console.Amount) { to.Batches += a.Batches; to.Records += a.Records }
	if links := c.dmz.tryStatus().Links; len(links) > 0 {
		for _, g := range links[0].Gaps { // parallel ones share them
			add(&sum.Declared, g.Declared)
			add(&sum.Filled, g.Filled)
			add(&sum.Final, g.Final)
			add(&sum.Open, g.Open)
			sum.OpenRanges += g.OpenRanges
			sum.Unknown += g.Unknown
		}
	}
	return sum
}

// noGap: nothing was ever declared missing.
func (c *crossing) noGap(when string) {
	c.t.Helper()
	if sum := c.totals(); sum.Declared.Batches != 0 || sum.OpenRanges != 0 {
		c.t.Errorf("%s: gaps on the far side: %+v", when, sum)
	}
}
