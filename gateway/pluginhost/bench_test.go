package pluginhost_test

import (
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// BenchmarkStart starts and stops a plugin: this test binary, whose size is that of a real one. ready-ms is the time
// until it has answered its first call, best-ms the shortest one, which other work on the machine disturbs least.
// "barest" has only the layers that nothing can replace: the system call filter
// and no privileges.
func BenchmarkStart(b *testing.B) {
	const no = "not in this benchmark"
	for _, c := range []struct {
		name     string
		withhold map[string]string
	}{
		{"confined", nil},
		{"no-groups", map[string]string{"control group limits": no}},
		{"barest", map[string]string{"namespaces": no, "landlock": no, "control group limits": no}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newConfinedSite(b, pluginhost.Sandbox{Exempt: func(string) bool { return true }}, "ok")
			pluginhost.Withhold(s.Host, c.withhold)
			s.Layers() // tried once, not at every start
			benchmarkStart(b, s)
		})
	}
}

func benchmarkStart(b *testing.B, s *site) {
	b.Helper()
	var ready time.Duration
	best := time.Hour
	for b.Loop() {
		began := time.Now()
		i, err := s.Start(b.Context(), sdk.KindReceiver, "ok", "mock.ok")
		took := time.Since(began)
		ready, best = ready+took, min(best, took)
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(best.Microseconds())/1e3, "best-ms")
	b.ReportMetric(float64(ready.Microseconds())/1e3/float64(b.N), "ready-ms")
}
