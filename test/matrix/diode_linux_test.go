package matrix_test

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// ends are the two ends of a link.
func ends(six bool) (node, peer netip.Addr) {
	if six {
		return ownAddr6().Addr(), netlab.MonitorAddr6().Addr()
	}
	return ownAddr().Addr(), netlab.MonitorAddr().Addr()
}

func eachFamily(t *testing.T, f func(t *testing.T, six bool)) {
	t.Helper()
	for name, six := range map[string]bool{"IPv4": false, "IPv6": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); f(t, six) })
	}
}

func (c *cell) addressBoth() {
	c.Helper()
	c.node.AddAddr(guarded, ownAddr())
	c.node.AddAddr(guarded, ownAddr6())
}

// TestWaysUnguarded is the positive control of the tests below: without a
// guard all these frames leave, and those that IP understands arrive.
func TestWaysUnguarded(t *testing.T) {
	eachFamily(t, func(t *testing.T, six bool) {
		t.Helper()
		c := newCell(t, anything)
		c.addressBoth()
		c.up()
		node, peer := ends(six)
		got := c.listenRaw(six)
		for _, way := range ways(peer, node) {
			before := got.Load()
			if _, err := c.peer.Inject(outside, false, way.frame); err != nil {
				t.Fatal(err)
			}
			if way.arrives {
				until(t, way.name+" arrives", func() bool { return got.Load() > before })
			}
		}
		for _, way := range ways(node, peer) {
			want := outward(way.frame)
			seen := c.witnesses[0].CountIf(func(p gopacket.Packet) bool {
				// The kernel takes a VLAN tag off before a witness sees the frame.
				return bytes.Equal(p.Data(), want) || way.name == vlanTag && bytes.Equal(p.Data()[12:], want[16:])
			})
			if _, err := c.node.Inject(guarded, false, want); err != nil {
				t.Fatal(err)
			}
			until(t, way.name+" leaves", func() bool { return seen() > 0 })
		}
	})
}

// beside wants what is not the link's.
func beside(p gopacket.Packet) bool {
	l, ok := p.TransportLayer().(*layers.UDP)
	text := ""
	if ok {
		text = string(l.Payload)
	}
	return !ok || l.DstPort != linkPort || text != "link" && text != "last"
}

// TestDiodeTX wants the link's datagrams to leave, and nothing else, however
// it is sent; and nothing to arrive.
func TestDiodeTX(t *testing.T) {
	eachFamily(t, func(t *testing.T, six bool) {
		t.Helper()
		c := newCell(t, beside)
		c.addressBoth()
		node, peer := ends(six)
		got := c.listenRaw(six)
		to := netip.AddrPortFrom(peer, linkPort)
		w := guarding(t, c.node, guard.Policy{Node: "matrix", DiodeTX: only(guarded), SendEnds: []guard.SendEnd{
			{Interface: guarded, Source: node, Destination: to, MAC: mac(peerMAC)},
		}})
		c.up()
		link := func(text string) {
			seen := c.witnesses[0].CountIf(func(p gopacket.Packet) bool { return bytes.HasSuffix(p.Data(), []byte(text)) })
			until(t, "a datagram of the link leaves", func() bool {
				_ = c.node.Do(func() error { return say(t.Context(), to, text) })
				return seen() > 0
			})
		}
		link("link")
		for _, way := range ways(node, peer) {
			for _, bypass := range []bool{false, true} {
				_, err := c.node.Inject(guarded, bypass, outward(way.frame))
				c.tolerate(err)
			}
		}
		_ = c.node.Do(func() error { return sendBound(guarded, 2, destinations()...) })
		for _, way := range append(ways(peer, node), way{"the link's own, reversed", ofLink(peer, node), true}) {
			_, err := c.peer.Inject(outside, false, way.frame)
			c.tolerate(err)
		}
		c.scan(peer, node)
		link("last")
		if n := got.Load(); n > 0 {
			t.Errorf("%d packets arrived", n)
		}
		if _, others := c.seen(); others > 0 {
			t.Errorf("%d frames left beside the link's", others)
		}
		if cause, yes := w.tripped(); yes {
			t.Errorf("tripped: %s", cause)
		}
	})
}

// TestDiodeRX wants the link's datagrams to arrive, and nothing else.
func TestDiodeRX(t *testing.T) {
	eachFamily(t, func(t *testing.T, six bool) {
		t.Helper()
		c := newCell(t, anything)
		c.addressBoth()
		node, peer := ends(six)
		got := c.listenRaw(six)
		w := guarding(t, c.node, guard.Policy{Node: "matrix", DiodeRX: only(guarded), ReceiveEnds: []guard.ReceiveEnd{
			{Interface: guarded, Source: peer, Listen: netip.AddrPortFrom(node, linkPort)},
		}})
		c.up()
		quiet, _ := c.seen()
		got.Store(0)
		until(t, "the link's datagrams arrive", func() bool {
			_, err := c.peer.Inject(outside, false, ofLink(peer, node))
			c.tolerate(err)
			return got.Load() > 0
		})
		c.rest(settle)
		got.Store(0)
		for _, way := range ways(peer, node) {
			_, err := c.peer.Inject(outside, false, way.frame)
			c.tolerate(err)
			c.rest(20 * time.Millisecond)
			if n := got.Swap(0); n > 0 {
				t.Errorf("%s: %d packets arrived", way.name, n)
			}
		}
		c.scan(peer, node)
		if all, _ := c.seen(); all > quiet || got.Load() > 0 {
			t.Errorf("%d frames left, %d packets of a scan arrived", all-quiet, got.Load())
		}
		if cause, yes := w.tripped(); yes {
			t.Errorf("tripped: %s", cause)
		}
	})
}

// TestDiodeRXCapturing wants nothing to arrive at all, while a capture sees the
// link's datagrams and nothing else.
func TestDiodeRXCapturing(t *testing.T) {
	eachFamily(t, func(t *testing.T, six bool) {
		t.Helper()
		c := newCell(t, anything)
		node, peer := ends(six)
		listen := netip.AddrPortFrom(node, linkPort)
		w := guarding(t, c.node, guard.Policy{Node: "matrix", DiodeRX: only(guarded), ReceiveEnds: []guard.ReceiveEnd{
			{Interface: guarded, Source: peer, Listen: listen, Capture: true},
		}})
		c.up()
		got := c.listenRaw(six)
		file, err := w.client.Packet(t.Context(), guard.PacketQuery{Index: c.node.Index(guarded), Name: guarded, Source: peer, Listen: listen})
		if err != nil {
			t.Fatal(err)
		}
		captured, last := capture(t, file)
		for _, way := range ways(peer, node) {
			// Fragments are let in to be counted, see guard.DiodeCapture. A VLAN
			// tag is taken off before the filter: the rest is the link's.
			if way.name == vlanTag || strings.HasSuffix(way.name, "fragment") {
				continue
			}
			if _, err := c.peer.Inject(outside, false, way.frame); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the capture sees the link", func() bool {
			_, err := c.peer.Inject(outside, false, ofLink(peer, node))
			c.tolerate(err)
			return captured.Load() > 0
		})
		if want := ofLink(peer, node); string(last()) != string(want) {
			t.Errorf("captured %x, want %x", last(), want)
		}
		all, _ := c.seen()
		if n := got.Load(); n > 0 || all > 0 {
			t.Errorf("%d packets arrived beside the capture, %d frames left", n, all)
		}
	})
}

// capture counts what a packet socket yields, and keeps the first frame.
func capture(t *testing.T, file *os.File) (n *atomic.Int64, first func() []byte) {
	t.Helper()
	var mu sync.Mutex
	var kept []byte
	n = &atomic.Int64{}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			m, err := file.Read(b)
			if errors.Is(err, unix.ENETDOWN) {
				continue
			}
			if err != nil {
				return
			}
			mu.Lock()
			if kept == nil {
				kept = append(kept, b[:m]...)
			}
			mu.Unlock()
			n.Add(1)
		}
	}()
	t.Cleanup(func() { _ = file.Close(); <-done })
	return n, func() []byte { mu.Lock(); defer mu.Unlock(); return kept }
}

// listenRaw counts every packet that IP delivers to this machine.
func (c *cell) listenRaw(six bool) *atomic.Int64 {
	c.Helper()
	n := &atomic.Int64{}
	networks := []string{"ip4:udp", "ip4:tcp", "ip4:icmp"}
	if six {
		networks = []string{"ip6:udp", "ip6:tcp", "ip6:ipv6-icmp"}
	}
	for _, network := range networks {
		var conn net.PacketConn
		if err := c.node.Do(func() (err error) {
			conn, err = (&net.ListenConfig{}).ListenPacket(c.Context(), network, "")
			return err
		}); err != nil {
			c.Fatal(err)
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			b := make([]byte, 2048)
			for {
				if _, from, err := conn.ReadFrom(b); err != nil {
					return
				} else if a, ok := from.(*net.IPAddr); ok && (a.IP.To4() != nil || a.IP.IsGlobalUnicast()) {
					n.Add(1)
				}
			}
		}()
		c.Cleanup(func() { _ = conn.Close(); <-done })
	}
	return n
}
