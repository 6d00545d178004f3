package console

import (
	"sync"
	"time"
)

// meterSpan is the time that a Meter looks back on: long enough to be calm, short enough to be now (ours).
const meterSpan = 10 * time.Second

// meterSamples bounds what a Meter keeps: one per second for the span, and some.
const meterSamples = 16

// Meter makes a rate of a counter that is looked at about once a second. The zero value is ready; it may be used
// concurrently.
type Meter struct {
	mu   sync.Mutex // guards seen
	seen []sample   // the oldest first
}

type sample struct {
	at time.Time
	n  uint64
}

// Sample notes what the counter shows now. A counter that went back begins anew.
func (m *Meter) Sample(now time.Time, n uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := len(m.seen); k > 0 && (n < m.seen[k-1].n || !now.After(m.seen[k-1].at)) {
		m.seen = m.seen[:0]
	}
	for len(m.seen) > 1 && (len(m.seen) == meterSamples || now.Sub(m.seen[1].at) >= meterSpan) {
		m.seen = m.seen[:copy(m.seen, m.seen[1:])]
	}
	m.seen = append(m.seen, sample{now, n})
}

// Rate is how much the counter rose per second over the last ten or so; 0 before the second sample.
func (m *Meter) Rate() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.seen) < 2 {
		return 0
	}
	first, last := m.seen[0], m.seen[len(m.seen)-1]
	return float64(last.n-first.n) / last.at.Sub(first.at).Seconds()
}
