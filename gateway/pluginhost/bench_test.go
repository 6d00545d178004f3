package pluginhost_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// BenchmarkStart starts and stops a plugin: this test binary, whose size is that of a real one. ready-ms is the time
// until it has answered its first call.
func BenchmarkStart(b *testing.B) {
	s := newSite(b, "ok")
	var ready time.Duration
	for b.Loop() {
		began := time.Now()
		i, err := s.Start(b.Context(), sdk.KindReceiver, "ok", "mock.ok")
		ready += time.Since(began)
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(ready.Microseconds())/1e3/float64(b.N), "ready-ms")
}
