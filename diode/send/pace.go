package send

import (
	"context"
	"time"
)

// wireOverhead is what a datagram costs on Ethernet beyond its UDP payload:
// preamble and delimiter 8, header 14, frame check sequence 4 and inter-packet
// gap 12 (IEEE 802.3), UDP 8; IP is added per family.
const wireOverhead = 8 + 14 + 4 + 12 + 8

// paceWindow is how far the bucket may fill while the sender is not looking:
// timers of a busy machine are late by about a millisecond.
const paceWindow = 2 * time.Millisecond

// pacer is a token bucket in bytes on the wire.
type pacer struct {
	rate   float64 // bytes per second
	depth  float64 // bytes
	tokens float64 // bytes; below zero after reserved frames
	last   time.Time
	timer  *time.Timer
	perUDP int // bytes on the wire beyond the UDP payload
}

func newPacer(ipv6 bool) *pacer {
	p := &pacer{perUDP: wireOverhead + 20, last: time.Now(), timer: time.NewTimer(0)}
	if ipv6 {
		p.perUDP = wireOverhead + 40
	}
	<-p.timer.C
	return p
}

// set changes the rate, in bits per second; burst bytes must fit at once.
func (p *pacer) set(rateBits uint64, burst int) {
	p.rate = float64(rateBits) / 8
	p.depth = max(float64(burst), p.rate*paceWindow.Seconds())
	p.tokens = min(p.tokens, p.depth)
}

// wait blocks until n bytes on the wire may leave and takes them.
func (p *pacer) wait(ctx context.Context, n int) error {
	for {
		d := p.delay(time.Now(), n)
		if d <= 0 {
			p.tokens -= float64(n)
			return nil
		}
		if err := p.sleep(ctx, d); err != nil {
			return err
		}
	}
}

// take spends n bytes without waiting: heartbeats and announcements go ahead
// of all classes, which then wait a little longer.
func (p *pacer) take(n int) { p.tokens -= float64(n) }

// debt is how long the line takes for what was sent beyond the rate.
func (p *pacer) debt(now time.Time) time.Duration { return p.delay(now, 0) }

func (p *pacer) delay(now time.Time, n int) time.Duration {
	p.tokens = min(p.depth, p.tokens+p.rate*now.Sub(p.last).Seconds())
	p.last = now
	missing := min(float64(n), p.depth) - p.tokens
	if missing <= 0 {
		return 0
	}
	return max(time.Duration(missing/p.rate*float64(time.Second)), time.Microsecond)
}

func (p *pacer) sleep(ctx context.Context, d time.Duration) error {
	p.timer.Reset(d)
	select {
	case <-p.timer.C:
		return nil
	case <-ctx.Done():
		p.timer.Stop()
		return ctx.Err()
	}
}
