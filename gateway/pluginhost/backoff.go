package pluginhost

import "time"

// backoff says how long to wait before a component is started again.
type backoff struct {
	first   time.Duration // after the first failure; doubled after each
	most    time.Duration // longest wait
	healthy time.Duration // a run of this length starts over at first
	limit   int           // failures …
	window  time.Duration // … within this time make the component failed
	rest    time.Duration // wait between tries of a failed component
}

// history is the state of one component's backoff.
type history struct {
	backoff

	wait     time.Duration
	failures []time.Time // at most limit
	failed   bool
}

// fail takes in a failure at now after a run of length ran, and returns the wait before the next try. A component
// stays failed until a try has run healthy.
func (h *history) fail(now time.Time, ran time.Duration) time.Duration {
	if ran >= h.healthy {
		h.wait, h.failed = 0, false
	}
	if len(h.failures) == h.limit {
		h.failures = append(h.failures[:0], h.failures[1:]...)
	}
	h.failures = append(h.failures, now)
	if len(h.failures) == h.limit && now.Sub(h.failures[0]) <= h.window {
		h.failed = true
	}
	if h.failed {
		h.wait = 0
		return h.rest
	}
	h.wait = min(max(2*h.wait, h.first), h.most)
	return h.wait
}
