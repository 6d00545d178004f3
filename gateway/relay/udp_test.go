package relay_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
)

func udpRig(tb testing.TB, g relay.Grants, set ...func(*loopback)) (*rig, *peer, netip.AddrPort) {
	tb.Helper()
	g.Network = "udp"
	r := newRig(tb, g)
	for _, f := range set {
		f(r.sockets)
	}
	p := r.attach(tb)
	p.listen("udp")
	return r, p, await(tb, "socket", r.sockets.udp)
}

func sendFrom(tb testing.TB, to netip.AddrPort) *net.UDPConn {
	tb.Helper()
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

// gram is a datagram out of a feed.
type gram struct {
	remote  netip.AddrPort
	at      time.Time
	payload []byte
}

// frames reads datagrams from a feed until n have come.
func grams(tb testing.TB, feed io.Reader, n int) []gram {
	tb.Helper()
	var out []gram
	for len(out) < n {
		var head [control.FrameHeader]byte
		if _, err := io.ReadFull(feed, head[:]); err != nil {
			tb.Fatalf("after %d of %d: %v", len(out), n, err)
		}
		frame := make([]byte, binary.LittleEndian.Uint32(head[:]))
		if _, err := io.ReadFull(feed, frame); err != nil {
			tb.Fatal(err)
		}
		if len(frame)+control.FrameHeader > control.MaxFrame {
			tb.Fatalf("frame of %d bytes", len(frame))
		}
		for len(frame) > 0 {
			remote, nano, payload, rest, err := control.NextDatagram(frame)
			if err != nil {
				tb.Fatal(err)
			}
			out = append(out, gram{remote, time.Unix(0, nano), payload})
			frame = rest
		}
	}
	return out
}

func TestDatagrams(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, ipv6 := range []bool{false, true} {
		t.Run(fmt.Sprintf("ipv6=%v", ipv6), func(t *testing.T) {
			if c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback}); ipv6 && err != nil {
				t.Skipf("no IPv6 loopback here: %v", err)
			} else if err == nil {
				_ = c.Close()
			}
			r, p, to := udpRig(t, relay.Grants{}, func(l *loopback) { l.index, l.ipv6 = lo.Index, ipv6 })
			feed, about := p.feed()
			if about.GetInterface() != "lo" || about.GetLocal() != to.String() {
				t.Errorf("feed %v", about)
			}
			c := sendFrom(t, to)
			before := time.Now().Add(-time.Second)
			sizes := []int{0, 1, 1400, 9000, 65507, 3}
			for i, n := range sizes {
				if _, err := c.Write(bytes.Repeat([]byte{byte(i)}, n)); err != nil {
					t.Fatal(err)
				}
			}
			total := uint64(0)
			for i, g := range grams(t, feed, len(sizes)) {
				total += uint64(len(g.payload))
				if !bytes.Equal(g.payload, bytes.Repeat([]byte{byte(i)}, sizes[i])) || g.remote != addrOf(c.LocalAddr()) {
					t.Errorf("%d: %d bytes from %s", i, len(g.payload), g.remote)
				}
				if g.at.Before(before) || g.at.After(time.Now()) {
					t.Errorf("%d: received at %s", i, g.at)
				}
			}
			waitFor(t, "count", func() bool { return r.Stats().Datagrams == uint64(len(sizes)) })
			if h := p.die(); h.Datagrams != uint64(len(sizes)) || h.Bytes != total {
				t.Errorf("handed %+v", h)
			}
		})
	}
}

func TestDatagramsRefused(t *testing.T) {
	t.Run("allow_from", func(t *testing.T) {
		r, p, to := udpRig(t, relay.Grants{AllowFrom: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
		p.feed()
		write(t, sendFrom(t, to), "x")
		waitFor(t, "count", func() bool { return r.Stats().Refused[relay.DroppedAllowFrom] == 1 })
	})
	t.Run("interface", func(t *testing.T) {
		r, p, to := udpRig(t, relay.Grants{}, func(l *loopback) { l.index = 12345 })
		p.feed()
		write(t, sendFrom(t, to), "x")
		waitFor(t, "count", func() bool { return r.Stats().Refused[relay.DroppedInterface] == 1 })
	})
}

// TestDatagramsWaitForThePlugin: none is lost while no plugin is there, and none while one does not read.
func TestDatagramsWaitForThePlugin(t *testing.T) {
	r, p, to := udpRig(t, relay.Grants{})
	p.feed()
	p.die()
	c := sendFrom(t, to)
	const n = 5000
	payload := make([]byte, 1000)
	send := func(from, until int) {
		for i := from; i < until; i++ {
			binary.LittleEndian.PutUint32(payload, uint32(i))
			if _, err := c.Write(payload); err != nil {
				t.Fatal(err)
			}
		}
	}
	send(0, n/2)
	p = r.attach(t)
	p.listen("udp")
	feed, _ := p.feed()
	send(n/2, n) // the plugin does not read yet
	waitFor(t, "the feed to fill", func() bool { return r.Stats().Waiting == 1 })
	for i, g := range grams(t, feed, n) {
		if got := binary.LittleEndian.Uint32(g.payload); got != uint32(i) {
			t.Fatalf("datagram %d is number %d", i, got)
		}
	}
}

// TestFrameSurvivesThePlugin: what one instance has not taken as a whole goes to the next.
func TestFrameSurvivesThePlugin(t *testing.T) {
	r, p, to := udpRig(t, relay.Grants{})
	feed, _ := p.feed()
	c := sendFrom(t, to)
	const n = 2000 // more than a socketpair and a frame hold
	payload := make([]byte, 1000)
	for i := range n {
		binary.LittleEndian.PutUint32(payload, uint32(i))
		if _, err := c.Write(payload); err != nil {
			t.Fatal(err)
		}
	}
	first := grams(t, feed, 1)
	waitFor(t, "a full feed", func() bool { return r.Stats().Datagrams > 0 })
	_ = feed.Close()
	handed := int(p.die().Datagrams)
	if handed < len(first) || handed >= n {
		t.Fatalf("%d handed, %d read", handed, len(first))
	}
	p = r.attach(t)
	p.listen("udp")
	feed, _ = p.feed()
	for i, g := range grams(t, feed, n-handed) {
		if got := int(binary.LittleEndian.Uint32(g.payload)); got != handed+i {
			t.Fatalf("datagram %d is number %d", handed+i, got)
		}
	}
}

// TestDatagramsAtTheEnd: those that were read and found no plugin before the component ended are counted.
func TestDatagramsAtTheEnd(t *testing.T) {
	r, p, to := udpRig(t, relay.Grants{})
	p.feed()
	c := sendFrom(t, to)
	const n = 2000
	for range n {
		write(t, c, string(make([]byte, 1000)))
	}
	waitFor(t, "the feed to fill", func() bool { return r.Stats().Waiting == 1 })
	p.die()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if st := r.Stats(); st.Refused[relay.DroppedClosing] == 0 || st.Datagrams+st.Refused[relay.DroppedClosing] > n {
		t.Errorf("%+v", st)
	}
}

// TestEveryDatagramAtTheEnd: those that were read in one call with the frame that was being written are counted as well.
func TestEveryDatagramAtTheEnd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs a receive buffer beyond net.core.rmem_max: run as root")
	}
	r, p, to := udpRig(t, relay.Grants{})
	p.feed()
	p.die()
	c := sendFrom(t, to)
	const n = 40 // of 60 kB: one call takes them all, a frame holds 4
	for range n {
		write(t, c, string(make([]byte, 60_000)))
	}
	p = r.attach(t)
	p.listen("udp")
	p.feed()
	waitFor(t, "the feed to fill", func() bool { return r.Stats().Waiting == 1 })
	p.die()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if st := r.Stats(); st.Datagrams+st.Refused[relay.DroppedClosing] != n {
		t.Errorf("%d of %d are accounted for: %+v", st.Datagrams+st.Refused[relay.DroppedClosing], n, st)
	}
}

// TestPause: the feed of a paused plugin ends when it has read all, and the rest is for the next one.
func TestPause(t *testing.T) {
	r, p, to := udpRig(t, relay.Grants{})
	feed, _ := p.feed()
	c := sendFrom(t, to)
	write(t, c, "one")
	waitFor(t, "count", func() bool { return r.Stats().Datagrams == 1 })
	r.Pause(p.ctl)
	if got := grams(t, feed, 1); string(got[0].payload) != "one" {
		t.Errorf("%q", got[0].payload)
	}
	expect(t, feed, "")
	write(t, c, "two")
	p.stop()
	if h := await(t, "serve", p.over); h.Datagrams != 1 || h.err != nil {
		t.Errorf("%+v", h)
	}
	p = r.attach(t)
	p.listen("udp")
	feed, _ = p.feed()
	if got := grams(t, feed, 1); string(got[0].payload) != "two" {
		t.Errorf("%q", got[0].payload)
	}
}

// TestKernelDropsAreCounted fills a small receive buffer while nobody reads.
func TestKernelDropsAreCounted(t *testing.T) {
	r, p, to := udpRig(t, relay.Grants{ReceiveBuffer: 64 << 10})
	p.feed()
	p.die()
	c := sendFrom(t, to)
	const n = 1000
	for range n {
		if _, err := c.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
	}
	p = r.attach(t)
	p.listen("udp")
	feed, _ := p.feed()
	got := len(grams(t, feed, 1))
	go func() { _, _ = io.Copy(io.Discard, feed) }()
	// The kernel tells the count with the next datagram that it keeps.
	waitFor(t, "drops", func() bool {
		write(t, c, "x")
		return r.Stats().KernelDrops > 0
	})
	if st := r.Stats(); st.KernelDrops >= n || got == 0 || st.ReceiveBuffer != 64<<10 {
		t.Errorf("%+v", st)
	}
	_ = feed.Close()
}

func openSender(t *testing.T, r *rig, target netip.AddrPort) (*peer, *net.UnixConn) {
	t.Helper()
	p := r.attach(t)
	e, f := p.ask(dialTo("udp", target.String()))
	if e != nil {
		t.Fatal(e)
	}
	return p, stream(t, f)
}

func request(t *testing.T, conn io.ReadWriter, payloads ...[]byte) control.Answer {
	t.Helper()
	frame := make([]byte, control.FrameHeader)
	for _, b := range payloads {
		frame = control.AppendPayload(frame, b)
	}
	control.PutLength(frame)
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, control.AnswerBytes)
	if _, err := io.ReadFull(conn, b); err != nil {
		t.Fatal(err)
	}
	a, err := control.ParseAnswer(b)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestSender(t *testing.T) {
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	target := addrOf(far.LocalAddr())
	r := newRig(t, relay.Grants{Connect: []netip.AddrPort{target}})
	_, conn := openSender(t, r, target)
	payloads := [][]byte{[]byte("a"), {}, bytes.Repeat([]byte("b"), 1400), []byte("c")}
	if a := request(t, conn, payloads...); a.Taken != 4 || a.Errno != 0 {
		t.Errorf("answer %+v", a)
	}
	buf := make([]byte, 2000)
	for i, want := range payloads {
		n, err := far.Read(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Errorf("%d: %d bytes, %v", i, n, err)
		}
	}
	if a := request(t, conn); a != (control.Answer{}) {
		t.Errorf("no error is pending: %+v", a)
	}
	if a := request(t, conn, bytes.Repeat([]byte("x"), 65535)); a.Taken != 0 || a.Errno != syscall.EMSGSIZE {
		t.Errorf("too large: %+v", a)
	}
	_ = far.Close()
	// On loopback the port's refusal is there before the next call: the first is taken, the second meets the error.
	if a := request(t, conn, payloads...); a.Taken != 1 || a.Errno != syscall.ECONNREFUSED {
		t.Errorf("closed port: %+v", a)
	}
	if a := request(t, conn, []byte("again")); a.Taken != 1 || a.Errno != 0 {
		t.Errorf("after the error: %+v", a)
	}
	if a := request(t, conn); a.Taken != 0 || a.Errno != syscall.ECONNREFUSED {
		t.Errorf("pending error: %+v", a)
	}
	if st := r.Stats(); st.DatagramsOut != 6 {
		t.Errorf("%+v", st)
	}
}

func TestSenderRefusesGarbage(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:9")
	for _, garbage := range [][]byte{
		{0xff, 0xff, 0xff, 0xff},
		{6, 0, 0, 0, 100, 0, 0, 0, 1, 2},
		{2, 0, 0, 0, 1, 2},
	} {
		r := newRig(t, relay.Grants{Connect: []netip.AddrPort{target}})
		_, conn := openSender(t, r, target)
		if _, err := conn.Write(garbage); err != nil {
			t.Fatal(err)
		}
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%x: %d, %v", garbage, n, err)
		}
	}
}

func TestSendersAreBounded(t *testing.T) {
	target := netip.MustParseAddrPort("127.0.0.1:9")
	r := newRig(t, relay.Grants{Connect: []netip.AddrPort{target}})
	p := r.attach(t)
	opened := 0
	for range 100 {
		e, f := p.ask(dialTo("udp", target.String()))
		if e != nil && e.GetCode() != string(sdk.CodeUnavailable) {
			t.Fatal(e)
		}
		if e == nil {
			opened++
			stream(t, f)
		}
	}
	if opened != 64 {
		t.Errorf("%d open", opened)
	}
}
