package pluginhost_test

import (
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
)

// BenchmarkStart starts and stops a plugin: this test binary, whose size is that of a real one.
func BenchmarkStart(b *testing.B) {
	s := newSite(b, "ok")
	for b.Loop() {
		i, err := s.Start(b.Context(), sdk.KindReceiver, "ok", "mock.ok")
		if err != nil {
			b.Fatal(err)
		}
		if err := i.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
