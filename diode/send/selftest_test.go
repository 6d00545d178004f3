package send_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/send"
)

func (b *bench) test(ctx context.Context, plan send.TestPlan) <-chan error {
	done := make(chan error, 1)
	go func() { done <- b.tx.Test(ctx, plan) }()
	return done
}

// A self-test sends each frame of each step once, at its rate; data waits,
// heartbeats do not.
func TestSelfTest(t *testing.T) {
	rates := []uint64{2_000_000, 400_000_000}
	listening(t, func(c *send.Config) { c.RateBits = 50_000_000 }, unlimited, func(b *bench, e *ear) {
		for range 20 {
			b.source.Add(make([]byte, 500_000), 1)
		}
		b.after(500 * time.Millisecond)
		done := b.test(b.t.Context(), send.TestPlan{Rates: rates, Each: 2 * time.Second})
		b.after(time.Second)
		b.source.Add([]byte("waits"), 1)
		if err := <-done; err != nil {
			b.t.Fatal(err)
		}
		for range 5 {
			b.source.Add(make([]byte, 1_000_000), 1)
		}
		b.after(500 * time.Millisecond)
		if b.source.SentThrough() > 24 {
			b.t.Error("data goes on at the pace of the test")
		}
		b.after(5 * time.Second)
		next := uint32(0)
		for i, x := range e.tests {
			if i > 0 && x.Step != e.tests[i-1].Step {
				next = 0
			}
			if x.Number != next || x.Rate != rates[x.Step] || x.Steps != 2 {
				b.t.Fatalf("test frame %d: %+v, want number %d", i, x, next)
			}
			next++
		}
		e.checkSteps(rates, 2*time.Second)
		first, last := e.tests[0].at, e.tests[len(e.tests)-1].at
		for _, x := range e.shards {
			if x.at > first && x.at < last && x.at > first+100*time.Millisecond {
				b.t.Errorf("data during the test at %v", x.at)
			}
		}
		for i := 1; i < len(e.beats); i++ {
			if gap := e.beats[i].at - e.beats[i-1].at; gap > 1020*time.Millisecond {
				b.t.Errorf("no heartbeat for %v", gap)
			}
		}
		if b.source.SentThrough() != 26 {
			b.t.Errorf("sent through %d", b.source.SentThrough())
		}
	})
}

// checkSteps fails unless each step came whole and took its time.
func (e *ear) checkSteps(rates []uint64, each time.Duration) {
	e.t.Helper()
	for step, rate := range rates {
		var begun, ended time.Duration
		count, of := uint32(0), uint32(0)
		for _, x := range e.tests {
			if int(x.Step) != step {
				continue
			}
			if count == 0 {
				begun = x.at
			}
			ended, of, count = x.at, x.Count, count+1
		}
		want := float64(rate) / 8 * each.Seconds() / (1408 + 64 + 66)
		if count != of || float64(count) < want-1 || float64(count) > want+1 {
			e.t.Errorf("step %d: %d of %d frames, want %.0f", step, count, of, want)
		}
		if took := ended - begun; took < each*95/100 || took > each*105/100 {
			e.t.Errorf("step %d took %v", step, took)
		}
	}
}

func TestSelfTestEndsEarly(t *testing.T) {
	plan := send.TestPlan{Rates: []uint64{1_000_000}, Each: 10 * time.Second}
	inBubble(t, nothing, func(b *bench) {
		b.after(500 * time.Millisecond)
		ctx, cancel := context.WithCancel(b.t.Context())
		done := b.test(ctx, plan)
		b.after(time.Second)
		if err := b.tx.Test(b.t.Context(), plan); !errors.Is(err, send.ErrTestRuns) {
			b.t.Errorf("a second test: %v", err)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			b.t.Errorf("%v", err)
		}
		b.source.Add([]byte("x"), 1)
		b.after(time.Second)
		if b.source.SentThrough() != 1 {
			b.t.Error("data still waits after the test")
		}
		done = b.test(b.t.Context(), plan)
		b.after(time.Second)
		b.link.Fail(syscall.ENETDOWN)
		if err := <-done; !errors.Is(err, syscall.ENETDOWN) {
			b.t.Errorf("%v", err)
		}
		b.link.Fail(nil)
		b.after(time.Second)
		done = b.test(b.t.Context(), plan)
		b.after(time.Second)
		if err := b.stop(); err != nil {
			b.t.Error(err)
		}
		if err := <-done; err == nil {
			b.t.Error("a test on a stopped sender went well")
		}
		b.start()
	})
}

func TestSelfTestPlanIsChecked(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		for name, plan := range map[string]send.TestPlan{
			"no rates": {Each: time.Second}, "slow": {Rates: []uint64{1000}, Each: time.Second}, "no time": {Rates: []uint64{1_000_000}},
			"long": {Rates: []uint64{1_000_000}, Each: time.Hour}, "many": {Rates: make([]uint64, 17), Each: time.Second},
		} {
			if err := b.tx.Test(b.t.Context(), plan); err == nil {
				b.t.Errorf("%s: accepted", name)
			}
		}
		if len(b.kinds(frame.KindTest)) > 0 {
			b.t.Error("test frames left")
		}
	})
}
