package capture_test

import (
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkRing reads what a sender in another namespace sends in bursts that
// its kernel cuts (software segmentation); b.N counts datagrams that arrived.
func BenchmarkRing(b *testing.B) {
	for name, merge := range map[string]string{"single": "off", "merged": "on"} {
		b.Run(name, func(b *testing.B) {
			l := newLine(b, false)
			l.far.Run("ethtool", "-K", "rx0", "gro", merge, "rx-udp-gro-forwarding", merge)
			control(b, l.conn, func(fd int) error {
				return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 1400)
			})
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				burst := make([]byte, 46*1400)
				for {
					select {
					case <-stop:
						return
					default:
						_, _ = l.conn.Write(burst) // what is lost is counted
					}
				}
			}()
			b.SetBytes(1400)
			b.ReportAllocs()
			got := 0
			for b.ResetTimer(); got < b.N; {
				if err := l.ring.ReadBurst(l.buf, func(int, int) { got++ }); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			close(stop)
			<-done
			b.ReportMetric(float64(l.ring.Drops()), "dropped")
		})
	}
}
