package linktest_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// endless gives the same bytes as so many batches as were asked for.
type endless struct {
	data  []byte
	seq   uint64
	limit chan uint64
	most  uint64
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
func (e *endless) Sent(uint64)                       {}
func (e *endless) Bounds() (first, next, sum uint64) { return 1, 1, 0 }

// counting is a sink that only counts.
type counting struct {
	through atomic.Uint64
	lost    atomic.Uint64
	changed chan struct{}
}

func (c *counting) Deliver(_ context.Context, b diode.Batch, done func(error)) error {
	done(nil)
	c.moved(b.Seq)
	return nil
}

func (c *counting) Gap(_ context.Context, g diode.Gap) error {
	c.lost.Add(g.Last - g.First + 1)
	c.moved(g.Last)
	return nil
}

func (c *counting) moved(seq uint64) {
	c.through.Store(seq)
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// BenchmarkLoopback runs the whole link, both ends in this process, over the
// loopback interface with the frames of the MTU named. One operation is one
// batch of 256 KiB. The loopback never segments a burst on its own, which a
// network card's wire does; see the bench of the network namespaces for that.
func BenchmarkLoopback(b *testing.B) {
	for _, c := range []struct {
		mtu    int
		rate   uint64
		parity float64
	}{{1500, 3_000_000_000, 0.16}, {1500, 20_000_000_000, 0.16}, {9000, 20_000_000_000, 0.16}} {
		b.Run(fmt.Sprintf("mtu=%d/rate=%dG", c.mtu, c.rate/1e9), func(b *testing.B) {
			benchLoopback(b, c.mtu, c.rate, c.parity)
		})
	}
}

func benchLoopback(b *testing.B, mtu int, rate uint64, parity float64) {
	b.Helper()
	near, far := udpPair(b)
	source := &endless{data: make([]byte, 256<<10), limit: make(chan uint64, 1)}
	sink := &counting{changed: make(chan struct{}, 1)}
	r, err := recv.New(recv.Config{Paths: []recv.Path{farPath("bench", far, b.TempDir())}, Sink: sink})
	if err != nil {
		b.Fatal(err)
	}
	s, err := send.New(send.Config{
		Link: "bench", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: near, StateDir: b.TempDir(), RateBits: rate, MTU: mtu, Parity: parity,
		Classes: bulkClass(source),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer start(b, r.Run)()
	defer start(b, s.Run)()
	pass := func(n uint64) {
		source.limit <- n
		for sink.through.Load() < n {
			<-sink.changed
		}
	}
	pass(64) // the link is up and warm
	b.SetBytes(int64(len(source.data)))
	b.ReportAllocs()
	b.ResetTimer()
	cpu := cpuSeconds()
	pass(64 + uint64(b.N))
	b.StopTimer()
	gb := float64(b.N) * float64(len(source.data)) / 1e9
	st := r.Stats()
	b.ReportMetric((cpuSeconds()-cpu)/gb, "cpu-s/GB")
	b.ReportMetric(float64(sink.lost.Load()), "lost-batches")
	b.ReportMetric(float64(st.BlocksRepaired), "repaired-blocks")
	b.ReportMetric(float64(s.Stats().WireBytes)/float64(s.Stats().PayloadBytes), "wire-ratio")
}

func cpuSeconds() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}
