package linktest_test

import (
	"bytes"
	"context"
	"crypto/hpke"
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// udpPair opens a connected and a listening socket on loopback.
func udpPair(tb testing.TB) (near, far *net.UDPConn) {
	tb.Helper()
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		tb.Fatal(err)
	}
	addr, ok := far.LocalAddr().(*net.UDPAddr)
	if !ok {
		tb.Fatal("no address")
	}
	near, err = net.DialUDP("udp4", nil, addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	return near, far
}

func psk() (k [32]byte) {
	copy(k[:], "a pre-shared key of 32 bytes....")
	return k
}

// private is the key pair of every pairing here.
func private() hpke.PrivateKey {
	k, err := frame.KEM().DeriveKeyPair(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		panic(err)
	}
	return k
}

// farPath is the far end of the pairing whose id is 1.
func farPath(link string, conn recv.PacketReader, dir string) recv.Path {
	return recv.Path{Link: link, Keys: []recv.Key{{ID: 1, PSK: psk(), Private: private()}}, Conn: conn, StateDir: dir}
}

// bulkClass is one class of epoch 1.
func bulkClass(source send.Source) map[diode.Class]send.ClassConfig {
	return map[diode.Class]send.ClassConfig{diode.Bulk: {Source: source, Epoch: diode.Epoch{ID: epoch(1)}}}
}

func epoch(n byte) (e [16]byte) {
	e[0], e[15] = 0xE0, n
	return e
}

// start runs f until the returned function is called, which waits for it. That
// its socket was closed is no fault.
func start(tb testing.TB, f func(context.Context) error) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	stopped := false
	return func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			tb.Errorf("run: %v", err)
		}
	}
}

// waitFor polls until ok, at most a minute.
func waitFor(tb testing.TB, sink *linktest.Sink, ok func([]linktest.Event) bool) []linktest.Event {
	tb.Helper()
	limit := time.After(time.Minute)
	for {
		if e := sink.Events(); ok(e) {
			return e
		}
		select {
		case <-sink.Changed():
		case <-limit:
			tb.Fatalf("after a minute: %d events", len(sink.Events()))
		}
	}
}

func TestLoopbackUDP(t *testing.T) {
	near, far := udpPair(t)
	bulk, critical := linktest.NewSource(diode.Bulk), linktest.NewSource(diode.Critical)
	sink := linktest.NewSink()
	r, err := recv.New(recv.Config{
		Paths: []recv.Path{farPath("loop", far, t.TempDir())}, Sink: sink,
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := send.New(send.Config{
		Link: "loop", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: near, StateDir: t.TempDir(), RateBits: 300_000_000,
		Classes: map[diode.Class]send.ClassConfig{
			diode.Bulk:     {Source: bulk, Epoch: diode.Epoch{ID: epoch(1)}},
			diode.Critical: {Source: critical, Epoch: diode.Epoch{ID: epoch(2)}},
		},
		Health: func() []byte { return []byte("well") },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer start(t, r.Run)()
	defer start(t, s.Run)()
	var want [2][][]byte
	for i := range 300 {
		size := []int{0, 1, 300, 5000, 64 << 10, 300 << 10}[i%6]
		data := bytes.Repeat(fmt.Appendf(nil, "%d,", i), size/3)
		want[0], want[1] = append(want[0], data), append(want[1], data[:min(len(data), 900)])
		bulk.Add(data, uint32(i))
		critical.Add(data[:min(len(data), 900)], 1)
	}
	events := waitFor(t, sink, func(e []linktest.Event) bool { return len(e) >= 600 })
	var next [2]int
	for _, e := range events {
		b := e.Batch
		if e.IsGap || b.Late || int(b.Seq) != next[b.Class]+1 || !bytes.Equal(b.Data, want[b.Class][b.Seq-1]) {
			t.Fatalf("event %+v %v late %v, %d bytes; want %d", e.Gap, b.BatchID, b.Late, len(b.Data), next[b.Class]+1)
		}
		next[b.Class]++
	}
	waitSent(t, bulk, 300)
	rs := r.Stats()
	if rs.State != recv.StateUp || string(rs.Paths[0].Heartbeat.Health) != "well" || rs.Paths[0].ReceiveBuffer == 0 {
		t.Errorf("far side: %+v", rs)
	}
	t.Logf("segmentation %v, frames %d, repaired %d, failed %d, kernel drops %d",
		s.Stats().Segmentation, s.Stats().Frames, rs.BlocksRepaired, rs.BlocksFailed, rs.KernelDrops)
}

// waitSent polls until the source was told.
func waitSent(tb testing.TB, s *linktest.Source, through uint64) {
	tb.Helper()
	limit, poll := time.After(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer poll.Stop()
	for s.SentThrough() < through {
		select {
		case <-poll.C:
		case <-limit:
			tb.Fatalf("sent through %d, want %d", s.SentThrough(), through)
		}
	}
}

// A far side that is not there yet answers with an ICMP error on loopback:
// nothing may be counted as sent, and everything arrives when it comes.
func TestRefusedUntilReceiverListens(t *testing.T) {
	near, far := udpPair(t)
	addr := far.LocalAddr().String()
	_ = far.Close()
	source := linktest.NewSource(diode.Bulk)
	s, err := send.New(send.Config{
		Link: "loop", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: near, StateDir: t.TempDir(),
		Classes: bulkClass(source),
	})
	if err != nil {
		t.Fatal(err)
	}
	source.Add([]byte("first"), 1)
	defer start(t, s.Run)()
	limit := time.After(10 * time.Second)
	for !s.Stats().Holding {
		select {
		case <-limit:
			t.Fatal("never holding")
		case <-time.After(time.Millisecond):
		}
	}
	if got := source.SentThrough(); got != 0 {
		t.Fatalf("counted as sent: %d", got)
	}
	again, err := net.ResolveUDPAddr("udp4", addr)
	if err != nil {
		t.Fatal(err)
	}
	far, err = net.ListenUDP("udp4", again)
	if errors.Is(err, syscall.EADDRINUSE) {
		t.Skip("the port was taken by another program meanwhile")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = far.Close() })
	sink := linktest.NewSink()
	r, err := recv.New(recv.Config{
		Paths: []recv.Path{farPath("loop", far, t.TempDir())}, Sink: sink,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer start(t, r.Run)()
	waitFor(t, sink, func(e []linktest.Event) bool { return len(e) == 1 && string(e[0].Batch.Data) == "first" })
	waitSent(t, source, 1)
}

// The far side dies and comes back on the same port while batches flow: what
// was in its socket is sent again, so that nothing is missing and nothing is
// out of order.
func TestFarSideRestartLosesNothing(t *testing.T) {
	near, far := udpPair(t)
	addr, ok := far.LocalAddr().(*net.UDPAddr)
	if !ok {
		t.Fatal("no address")
	}
	source, sink, dir := linktest.NewSource(diode.Bulk), linktest.NewSink(), t.TempDir()
	s, err := send.New(send.Config{
		Link: "loop", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: near, StateDir: t.TempDir(),
		Classes: bulkClass(source),
	})
	if err != nil {
		t.Fatal(err)
	}
	listen := func(conn *net.UDPConn) (stop func()) {
		r, err := recv.New(recv.Config{
			Paths: []recv.Path{farPath("loop", conn, dir)}, Sink: sink, Positions: sink.Positions(),
		})
		if err != nil {
			t.Fatal(err)
		}
		stopRun := start(t, r.Run)
		return func() { _ = conn.Close(); stopRun() }
	}
	stop := listen(far)
	defer start(t, s.Run)()
	const rounds = 3
	for round := range rounds {
		for i := range 200 {
			source.Add(bytes.Repeat([]byte{byte(i)}, 20*i), 1)
		}
		waitFor(t, sink, func(e []linktest.Event) bool { return len(e) >= 200*round+50 })
		stop()
		far, err = net.ListenUDP("udp4", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			t.Skip("the port was taken by another program meanwhile")
		}
		if err != nil {
			t.Fatal(err)
		}
		stop = listen(far)
	}
	events := waitFor(t, sink, func(e []linktest.Event) bool { return len(e) >= 200*rounds })
	stop()
	for i, e := range events {
		if e.IsGap || e.Batch.Late || e.Batch.Seq != uint64(i+1) {
			t.Fatalf("event %d: gap %+v, batch %v, late %v", i, e.Gap, e.Batch.BatchID, e.Batch.Late)
		}
	}
}
