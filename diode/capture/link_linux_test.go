package capture_test

import (
	"bytes"
	"context"
	"crypto/hpke"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// TestWholeLinkWithoutAnAddress carries batches from a sender to a receiver
// that reads a ring; whatever the offloads do on the way, all of them arrive
// once, in order.
func TestWholeLinkWithoutAnAddress(t *testing.T) {
	for name, prepare := range map[string]func(l *line){
		"single frames":   func(*line) {},
		"merged on entry": func(l *line) { l.far.Run("ethtool", "-K", "rx0", "gro", "on", "rx-udp-gro-forwarding", "on") },
		"never segmented": func(l *line) {
			l.near.Run("ethtool", "-K", "tx0", "gso", "on", "tx-udp-segmentation", "on")
		},
	} {
		for version, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
			t.Run(name+" "+version, func(t *testing.T) {
				l := newLine(t, v6)
				prepare(l)
				carry(t, l, v6)
				if s := l.ring.Stats(); s.Drops != 0 || s.Checksums != 0 || s.Cut != 0 || s.Foreign != 0 {
					t.Errorf("%+v", s)
				}
			})
		}
	}
}

func carry(t *testing.T, l *line, v6 bool) {
	t.Helper()
	psk := [32]byte{1, 2, 3}
	private, err := frame.KEM().DeriveKeyPair(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	source, sink := linktest.NewSource(diode.Bulk), linktest.NewSink()
	r, err := recv.New(recv.Config{Sink: sink, Paths: []recv.Path{{
		Link: "ring", Keys: []recv.Key{{ID: 1, PSK: psk, Private: private}}, Conn: l.ring, StateDir: t.TempDir(),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	s := sender(t, l, v6, psk, private.PublicKey(), source)
	defer run(t, r.Run)()
	defer run(t, s.Run)()
	var want [][]byte
	for i := range 100 {
		data := bytes.Repeat([]byte{byte(i)}, []int{1, 300, 5000, 64 << 10, 300 << 10}[i%5])
		want = append(want, data)
		source.Add(data, 1)
	}
	for limit := time.After(time.Minute); len(sink.Events()) < len(want); {
		select {
		case <-sink.Changed():
		case <-limit:
			t.Fatalf("%d batches after a minute; %+v", len(sink.Events()), l.ring.Stats())
		}
	}
	for i, e := range sink.Events() {
		if e.IsGap || e.Batch.Late || e.Batch.Seq != uint64(i+1) || !bytes.Equal(e.Batch.Data, want[i]) {
			t.Fatalf("event %d: %+v %v, %d bytes", i, e.Gap, e.Batch.BatchID, len(e.Batch.Data))
		}
	}
	if drops := r.Stats().KernelDrops; drops != l.ring.Drops() {
		t.Errorf("the receiver counts %d drops, the ring %d", drops, l.ring.Drops())
	}
}

func sender(t *testing.T, l *line, v6 bool, psk [32]byte, public hpke.PublicKey, source send.Source) *send.Sender {
	t.Helper()
	s, err := send.New(send.Config{
		Link: "ring", PSK: psk, KeyID: 1, Public: public, Conn: l.conn, IPv6: v6, StateDir: t.TempDir(), RateBits: 500_000_000,
		Classes: map[diode.Class]send.ClassConfig{diode.Bulk: {Source: source, Epoch: diode.Epoch{ID: [16]byte{1}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// run runs f until the returned function is called, which waits for it.
func run(t *testing.T, f func(context.Context) error) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, net.ErrClosed) {
			t.Errorf("run: %v", err)
		}
	}
}
