package gateway

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// testEach is how long each rate of a test is sent when the operator names no time (diode.md's ladder, ours).
const testEach = 2 * time.Second

// testLadder are the shares of the configured rate that a test tries when the operator names no rates: the last two say
// how much room there is above it.
func testLadder(rate uint64) []uint64 {
	const least = 64_000 // bit/s; slower links are not possible
	var out []uint64
	for _, percent := range []uint64{25, 50, 75, 100, 125, 150} {
		out = append(out, max(rate/100*percent, least))
	}
	return out
}

// Test sends a numbered pattern at a ladder of rates and returns when the last step has left. Batches wait meanwhile.
func (g *Gateway) Test(ctx context.Context, r console.TestRequest) (console.TestState, error) {
	l, err := g.sendingLink(r.Link)
	if err != nil {
		return console.TestState{}, err
	}
	s, err := l.sender()
	if err != nil {
		return console.TestState{}, err
	}
	plan := send.TestPlan{Rates: r.RatesBits, Each: time.Duration(cmp.Or(r.EachSeconds, testEach.Seconds()) * float64(time.Second))}
	if len(plan.Rates) == 0 {
		plan.Rates = testLadder(uint64(l.diode.Send.Rate))
	}
	began := time.Now()
	l.log.Warn("self-test begins; data waits", "who", r.Who, "rates", plan.Rates, "each", plan.Each.String())
	s.testing.Add(1)
	err = s.Test(ctx, plan)
	s.testing.Add(-1)
	took := time.Since(began)
	l.log.Info("self-test ended", "after", took.Round(time.Millisecond).String(), "error", err)
	switch {
	case errors.Is(err, send.ErrTestRuns):
		return console.TestState{}, console.Errorf(console.CodeNotNow, "%s: a test runs already: wait for its end", r.Link)
	case err != nil:
		return console.TestState{}, console.Errorf(console.CodeRefused, "%s: test: %v", r.Link, err)
	}
	return console.TestState{Link: r.Link, RatesBits: plan.Rates, Seconds: took.Seconds()}, nil
}
