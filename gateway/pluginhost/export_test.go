package pluginhost

import (
	"io"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// Timing is what tests shorten.
type Timing struct {
	HealthEvery, HealthDeadline, Drain time.Duration
	First, Most, Healthy               time.Duration
	Limit                              int
	Window, Rest                       time.Duration
}

// SetTiming changes a Host before it is used.
func SetTiming(h *Host, t Timing) {
	h.times = timing{
		healthEvery: t.HealthEvery, healthDeadline: t.HealthDeadline, healthMisses: 3, drain: t.Drain,
		backoff: backoff{first: t.First, most: t.Most, healthy: t.Healthy, limit: t.Limit, window: t.Window, rest: t.Rest},
	}
}

// Withhold makes a Host take layers for missing, by name, each for a reason. It must not have been used yet.
func Withhold(h *Host, reasons map[string]string) { h.grounds.withhold = reasons }

// Libraries lists what a program is linked with.
func Libraries(program io.ReaderAt) ([]sandbox.Path, error) { return libraries(program) }
