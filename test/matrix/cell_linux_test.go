package matrix_test

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// The interfaces of a cell.
const (
	guarded = "mon0" // of the node: the interface that must stay silent
	service = "svc0" // of the node: has the addresses that are attacked
	outside = "eth0" // of the peer
)

// MAC addresses of the two ends.
const (
	nodeMAC = "02:6d:6f:6e:00:01"
	peerMAC = "02:6d:6f:6e:00:02"
)

// cell is one stimulus under one defence.
type cell struct {
	*testing.T
	lab        *netlab.Lab
	node, peer *netlab.Namespace
	at         *netlab.Namespace // where the guarded interface is now
	iface      string            // its name now
	witnesses  []*netlab.Witness
	counts     []func() int // frames that the stimulus itself sent
	own        func(gopacket.Packet) bool
	defence    defence
}

// newCell builds the network. The guarded interface is down.
func newCell(t *testing.T, own func(gopacket.Packet) bool) *cell {
	t.Helper()
	lab := netlab.New(t)
	c := &cell{T: t, lab: lab, node: lab.Namespace("node"), peer: lab.Namespace("peer"), iface: guarded, own: own}
	c.at = c.node
	c.node.Batch(
		"link add "+service+" type veth peer name behind",
		"link set behind up",
		"addr add "+netlab.PlantAddr().String()+" dev "+service,
		"addr add "+netlab.PlantAddr6().String()+" dev "+service+" nodad",
		"link set "+service+" up",
	)
	c.cable()
	return c
}

// cable lays the cable of the guarded interface and puts a witness at its end.
func (c *cell) cable() { c.Helper(); c.cableAs(guarded) }

func (c *cell) cableAs(name string) {
	c.Helper()
	c.node.Batch("link add " + name + " address " + nodeMAC + " type veth peer name " + outside + " address " + peerMAC + " netns " + c.peer.Name)
	c.peer.Batch(
		"addr add "+netlab.MonitorAddr().String()+" dev "+outside,
		"addr add "+netlab.MonitorAddr6().String()+" dev "+outside+" nodad",
		"link set "+outside+" up",
	)
	w := c.peer.Watch(outside)
	c.witnesses, c.counts = append(c.witnesses, w), append(c.counts, w.CountIf(c.own))
}

// up sets the guarded interface up.
func (c *cell) up() { c.Helper(); c.at.IP("link", "set", c.iface, "up") }

// rest lets time pass in which something may leave.
func (c *cell) rest(d time.Duration) { <-time.After(d) }

// seen returns how many frames the witnesses saw, and how many of them the
// stimulus itself sent.
func (c *cell) seen() (all, own int) {
	for i, w := range c.witnesses {
		all += w.Count()
		own += c.counts[i]()
	}
	return all, own
}

// control shows that the witness sees what leaves by the guarded interface.
func (c *cell) control() {
	c.Helper()
	if c.iface == "" {
		return // it is gone for good
	}
	w := c.witnesses[len(c.witnesses)-1]
	count := w.CountIf(marked(controlMark))
	c.up()
	if err := c.at.TransmitXDP(c.iface, mark(controlMark)); err != nil {
		c.Fatalf("positive control: %v", err)
	}
	c.until("the witness sees the control", func() bool { return count() == 1 })
}

func (c *cell) until(what string, ok func() bool) {
	c.Helper()
	until(c.T, what, ok)
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("still not after 10 s: %s", what)
		}
	}
}

// received is the interface's own count of the frames that arrived.
func received(n *netlab.Namespace, iface string) uint64 {
	var count uint64
	_ = n.Do(func() error {
		// /proc/net shows the namespace of the thread that opens it.
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		for line := range strings.Lines(string(text)) {
			name, rest, ok := strings.Cut(strings.TrimSpace(line), ":")
			if f := strings.Fields(rest); ok && name == iface && len(f) > 1 {
				count, err = strconv.ParseUint(f[1], 10, 64)
			}
		}
		return err
	})
	return count
}

// short makes a directory whose name is short enough for a unix socket in it.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "slm") //nolint:usetesting // the path of t.TempDir is too long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Clean(dir)
}

// Addresses of the attack: an address that the guarded interface may get, and
// sources that do not exist.
func ownAddr() netip.Prefix  { return netip.MustParsePrefix("10.66.0.1/24") }
func ownAddr6() netip.Prefix { return netip.MustParsePrefix("fd00:66::1/64") }
func spoofed() netip.Addr    { return netip.MustParseAddr("10.66.0.77") }
func spoofed6() netip.Addr   { return netip.MustParseAddr("fd00:66::77") }

// linkLocal is what the kernel makes of nodeMAC (RFC 4291 appendix A).
func linkLocal() netip.Addr { return netip.MustParseAddr("fe80::6d:6fff:fe6e:1") }

// words splits what a command is made of; "_" stands for a space in a word.
func words(format string, args ...any) []string {
	out := strings.Fields(fmt.Sprintf(format, args...))
	for i := range out {
		out[i] = strings.ReplaceAll(out[i], "_", " ")
	}
	return out
}
