package send_test

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/send"
)

// endless gives the same bytes as so many batches as were asked for.
type endless struct {
	data  []byte
	seq   uint64
	most  uint64
	limit chan uint64
	sent  atomic.Uint64
	told  chan struct{} // capacity 1
}

func newEndless(size int) *endless {
	return &endless{data: make([]byte, size), limit: make(chan uint64, 1), told: make(chan struct{}, 1)}
}

func (e *endless) Next(ctx context.Context, _ []byte) (diode.Batch, error) {
	for e.seq >= e.most {
		select {
		case e.most = <-e.limit:
		case <-ctx.Done():
			return diode.Batch{}, ctx.Err()
		}
	}
	e.seq++
	return diode.Batch{BatchID: diode.BatchID{Seq: e.seq}, Weight: 1, SumBefore: e.seq - 1, Data: e.data}, nil
}

func (e *endless) Read(seq uint64, _ []byte) (diode.Batch, error) {
	return diode.Batch{BatchID: diode.BatchID{Seq: seq}, Weight: 1, SumBefore: seq - 1, Data: e.data}, nil
}
func (e *endless) Bounds() (first, next, sum uint64) { return 1, 1, 0 }

func (e *endless) Sent(through uint64) {
	e.sent.Store(through)
	select {
	case e.told <- struct{}{}:
	default:
	}
}

// pass lets batches up to n go and waits until they have left.
func (e *endless) pass(n uint64) {
	e.limit <- n
	for e.sent.Load() < n {
		<-e.told
	}
}

// nowhere takes every datagram.
type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkSend measures the sender alone, without a kernel behind it (nowhere)
// and with that of the loopback interface, where nobody listens closely. One
// operation is one batch of 256 KiB.
func BenchmarkSend(b *testing.B) {
	for _, c := range []struct {
		name   string
		socket bool
		mtu    int
		depth  int
		parity float64
	}{
		{"nowhere/mtu=1500", false, 1500, 1, 0.16},
		{"nowhere/mtu=1500/depth=16", false, 1500, 16, 0.16},
		{"nowhere/mtu=9000", false, 9000, 1, 0.16},
		{"loopback/mtu=1500", true, 1500, 1, 0.16},
		{"loopback/mtu=9000", true, 9000, 1, 0.16},
	} {
		b.Run(c.name, func(b *testing.B) {
			var conn send.PacketWriter = nowhere{}
			if c.socket {
				conn = drain(b)
			}
			source := newEndless(256 << 10)
			cfg := config(conn, source, b.TempDir())
			cfg.RateBits, cfg.MTU, cfg.Interleave, cfg.Parity = 40_000_000_000, c.mtu, c.depth, c.parity
			tx, err := send.New(cfg)
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- tx.Run(ctx) }()
			source.pass(64)
			measure(b, tx, source)
			cancel()
			if err := <-done; err != nil {
				b.Error(err)
			}
		})
	}
}

func measure(b *testing.B, tx *send.Sender, source *endless) {
	b.Helper()
	b.SetBytes(int64(len(source.data)))
	b.ReportAllocs()
	b.ResetTimer()
	before, cpu := tx.Stats(), cpuSeconds()
	source.pass(64 + uint64(b.N))
	b.StopTimer()
	after, gb := tx.Stats(), float64(b.N)*float64(len(source.data))/1e9
	b.ReportMetric((cpuSeconds()-cpu)/gb, "cpu-s/GB")
	b.ReportMetric(float64(after.WireBytes-before.WireBytes)/(gb*1e9), "wire-ratio")
	b.ReportMetric(float64(after.Frames-before.Frames)/float64(b.N), "frames/op")
}

// drain opens a socket pair on loopback of which the far one has a tiny buffer
// and no reader: what arrives is thrown away by the kernel.
func drain(b *testing.B) net.Conn {
	b.Helper()
	far, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		b.Fatal(err)
	}
	near, err := new(net.Dialer).DialContext(b.Context(), "udp4", far.LocalAddr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = near.Close(); _ = far.Close() })
	if err := far.SetReadBuffer(1); err != nil {
		b.Fatal(err)
	}
	return near
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
