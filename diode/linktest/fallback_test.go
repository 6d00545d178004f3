package linktest_test

import (
	"bytes"
	"net"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// plain hides what a socket can do beyond one datagram per call.
type plain struct{ c *net.UDPConn }

func (p plain) Write(b []byte) (int, error)       { return p.c.Write(b) }
func (p plain) Read(b []byte) (int, error)        { return p.c.Read(b) }
func (p plain) SetReadDeadline(t time.Time) error { return p.c.SetReadDeadline(t) }

// Each side works with and without offloads of its own and of the other.
func TestOffloadsAndFallbacks(t *testing.T) {
	for name, c := range map[string]struct{ nearPlain, farPlain bool }{
		"both": {false, false}, "no segmentation": {true, false}, "no coalescing": {false, true}, "neither": {true, true},
	} {
		t.Run(name, func(t *testing.T) {
			nearConn, farConn := udpPair(t)
			if err := farConn.SetReadBuffer(4 << 20); err != nil { // as far as the system allows
				t.Fatal(err)
			}
			var w send.PacketWriter = nearConn
			var r recv.PacketReader = farConn
			if c.nearPlain {
				w = plain{nearConn}
			}
			if c.farPlain {
				r = plain{farConn}
			}
			source, sink := linktest.NewSource(diode.Bulk), linktest.NewSink()
			rx, err := recv.New(recv.Config{Paths: []recv.Path{farPath("loop", r, t.TempDir())}, Sink: sink})
			if err != nil {
				t.Fatal(err)
			}
			tx, err := send.New(send.Config{
				Link: "loop", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: w, StateDir: t.TempDir(),
				RateBits: 40_000_000, // a plain connection has the system's small buffer, and a busy machine looks away for 20 ms
				Classes:  bulkClass(source),
			})
			if err != nil {
				t.Fatal(err)
			}
			data := bytes.Repeat([]byte("0123456789abcdef"), 4<<10)
			for range 20 {
				source.Add(data, 1)
			}
			defer start(t, rx.Run)()
			defer start(t, tx.Run)()
			for i, e := range waitFor(t, sink, func(e []linktest.Event) bool { return len(e) >= 20 }) {
				if e.IsGap || e.Batch.Seq != uint64(i+1) || !bytes.Equal(e.Batch.Data, data) {
					t.Fatalf("event %d: gap %+v, batch %v", i, e.Gap, e.Batch.BatchID)
				}
			}
			if got := tx.Stats().Segmentation; got == c.nearPlain {
				t.Errorf("segmentation %v", got)
			}
		})
	}
}
