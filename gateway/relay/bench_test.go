package relay_test

import (
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/relay"
)

// cpu is what this process has used, all parts that a benchmark plays included.
func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func reportCPU(b *testing.B, before time.Duration, bytes uint64) {
	b.Helper()
	b.ReportMetric((cpu()-before).Seconds()/(float64(bytes)/1e9), "cpu-s/GB")
}

// BenchmarkTCP moves 64 KiB per operation: endpoint → relay → plugin. "direct" is the same without the relay.
func BenchmarkTCP(b *testing.B) {
	b.Run("relayed", func(b *testing.B) {
		_, p, to := tcpRig(b, relay.Grants{})
		endpoint, plugin := open(b, p, to)
		benchStream(b, endpoint, plugin)
	})
	b.Run("direct", func(b *testing.B) {
		ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			b.Fatal(err)
		}
		defer ln.Close() //nolint:errcheck // a benchmark's
		endpoint := dial(b, addrOf(ln.Addr()))
		far, err := ln.AcceptTCP()
		if err != nil {
			b.Fatal(err)
		}
		defer far.Close() //nolint:errcheck // a benchmark's
		benchStream(b, endpoint, far)
	})
}

func benchStream(b *testing.B, from *net.TCPConn, to io.Reader) {
	b.Helper()
	type deadliner interface{ SetDeadline(t time.Time) error }
	for _, c := range []any{from, to} {
		if d, ok := c.(deadliner); ok {
			_ = d.SetDeadline(time.Time{})
		}
	}
	chunk := make([]byte, 64<<10)
	b.SetBytes(int64(len(chunk)))
	before := cpu()
	b.ResetTimer()
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 256<<10)
		for total := 0; total < b.N*len(chunk); {
			n, err := to.Read(buf)
			if err != nil {
				b.Error(err)
				return
			}
			total += n
		}
	})
	for range b.N {
		if _, err := from.Write(chunk); err != nil {
			b.Fatal(err)
		}
	}
	wg.Wait()
	b.StopTimer()
	reportCPU(b, before, uint64(b.N*len(chunk)))
}

// BenchmarkUDP sends 300-byte datagrams as fast as one goroutine can, and says what came through.
func BenchmarkUDP(b *testing.B) {
	r, p, to := udpRig(b, relay.Grants{})
	feed, _ := p.feed()
	_ = feed.SetDeadline(time.Time{})
	c := sendFrom(b, to)
	payload := make([]byte, 300)
	var read atomic.Uint64
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 256<<10)
		for {
			n, err := feed.Read(buf)
			if err != nil {
				return
			}
			read.Add(uint64(n))
		}
	}()
	before := cpu()
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		if _, err := c.Write(payload); err != nil {
			b.Fatal(err)
		}
	}
	waitFor(b, "the last", func() bool {
		st := r.Stats()
		if st.Datagrams+st.KernelDrops >= uint64(b.N) {
			return true
		}
		_, _ = c.Write(payload) // brings the kernel's count of drops
		return false
	})
	b.StopTimer()
	st := r.Stats()
	b.ReportMetric(float64(st.Datagrams)/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(float64(st.KernelDrops)/float64(b.N)*100, "%dropped")
	reportCPU(b, before, st.BytesIn)
	_ = feed.Close()
	<-done
}

// BenchmarkUDPPaced sends 200,000 datagrams of 300 bytes a second and reports the CPU seconds per second that all parts
// took together, the sending included.
func BenchmarkUDPPaced(b *testing.B) {
	r, p, to := udpRig(b, relay.Grants{})
	feed, _ := p.feed()
	_ = feed.SetDeadline(time.Time{})
	go func() { _, _ = io.Copy(io.Discard, onlyReader{feed}) }()
	c := sendFrom(b, to)
	payload := make([]byte, 300)
	const perTick = 200 // a millisecond at 200,000/s
	before := cpu()
	b.ResetTimer()
	began := time.Now()
	for i := range b.N {
		if i%perTick == 0 {
			time.Sleep(time.Until(began.Add(time.Duration(i/perTick) * time.Millisecond))) // real time is what is measured
		}
		if _, err := c.Write(payload); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	used := cpu() - before
	waitFor(b, "the last", func() bool { return r.Stats().Datagrams+r.Stats().KernelDrops >= uint64(b.N) })
	b.ReportMetric(used.Seconds()/b.Elapsed().Seconds(), "cpu-s/s")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "datagrams/s")
	b.ReportMetric(float64(r.Stats().KernelDrops), "dropped")
	_ = feed.Close()
}

// BenchmarkIdle opens a connection per operation and reports what an idle one costs the core in memory of its own: the
// endpoints' and the plugin's ends, which this process holds too, have no goroutines.
func BenchmarkIdle(b *testing.B) {
	_, p, to := tcpRig(b, relay.Grants{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := min(b.N, 2000) // descriptors
	for range n {
		endpoint, plugin := open(b, p, to)
		_, _ = endpoint.Write([]byte("x"))
		_, _ = plugin.Read(make([]byte, 1))
	}
	b.StopTimer()
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapInuse+after.StackInuse-before.HeapInuse-before.StackInuse)/float64(n), "B/connection")
}

type onlyReader struct{ io.Reader }
