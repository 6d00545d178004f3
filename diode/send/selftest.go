package send

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxTestRates = 16              // steps of a self-test
	maxTestEach  = time.Minute     // data waits so long
	maxTestRate  = 100_000_000_000 // bit/s
	testPause    = time.Second / 4 // between steps, so that queues on the way are empty
	maxTestCount = 1<<32 - 1       // frames of a step: a number of 32 bits
)

// What ends a self-test before its time.
var (
	ErrTestRuns = errors.New("send: a self-test is running")
	errStopped  = errors.New("send: the sender has stopped")
)

// TestPlan is a ladder of rates, each of which is sent for so long.
type TestPlan struct {
	Rates []uint64 // bits per second on the wire, 64,000 to 100 Gbit/s; at most 16
	Each  time.Duration
}

type testRun struct {
	ctx  context.Context // of the caller of Test, who may give up
	plan TestPlan
	done chan error // capacity 1

	id     uint64
	step   int
	number uint32
	count  uint32    // frames of this step
	from   time.Time // when this step begins
}

// Test sends a numbered pattern at each rate, for the far side to report what
// arrives. Batches wait meanwhile; heartbeats go on. It returns when the last
// frame was sent, ctx has ended, or the link does not take frames.
func (s *Sender) Test(ctx context.Context, plan TestPlan) error {
	if err := plan.check(); err != nil {
		return fmt.Errorf("send: link %q: %w", s.cfg.Link, err)
	}
	if !s.testing.CompareAndSwap(false, true) {
		return fmt.Errorf("link %q: %w", s.cfg.Link, ErrTestRuns)
	}
	defer s.testing.Store(false)
	run := &testRun{ctx: ctx, plan: plan, done: make(chan error, 1), id: uint64(time.Now().UnixNano())}
	select {
	case s.tests <- run:
	default:
		return fmt.Errorf("link %q: %w", s.cfg.Link, ErrTestRuns)
	}
	s.wakeUp()
	select {
	case err := <-run.done:
		return err
	case <-s.stopped:
		return errStopped
	case <-ctx.Done():
		s.wakeUp()
		return ctx.Err()
	}
}

func (p TestPlan) check() error {
	var list problems
	list.add(len(p.Rates) == 0 || len(p.Rates) > maxTestRates, "%d rates; 1 to %d are possible", len(p.Rates), maxTestRates)
	list.add(p.Each <= 0 || p.Each > maxTestEach, "each rate for %v is not between 0 and %v", p.Each, maxTestEach)
	for _, rate := range p.Rates {
		list.add(rate < minRate || rate > maxTestRate, "rate of %d bit/s is not between %d and %d", rate, minRate, uint64(maxTestRate))
	}
	return errors.Join(list...)
}

// pollTest takes a self-test that was asked for, and drops one that nobody
// waits for any more. While there is one, no class begins a batch.
func (s *Sender) pollTest() {
	if s.test != nil && s.test.ctx.Err() != nil {
		s.endTest(s.test.ctx.Err())
	}
	if s.test != nil {
		return
	}
	select {
	case s.test = <-s.tests:
	default:
	}
}

// testTurn sends some frames of the self-test, once all classes have nothing
// left to send.
func (s *Sender) testTurn(ctx context.Context, now time.Time) (bool, error) {
	t := s.test
	if t == nil || now.Before(t.from) {
		return false, nil
	}
	if t.number == 0 {
		rate := t.plan.Rates[t.step]
		s.setRate(rate)
		t.count = uint32(min(max(float64(rate)/8*t.plan.Each.Seconds()/float64(s.frameCost(s.shard)), 1), maxTestCount))
		s.log.Info("self-test", "rate", rate, "frames", t.count)
	}
	for range s.tx.burst {
		if err := s.testFrame(ctx, t); err != nil {
			return false, err
		}
		if t.number++; t.number == t.count {
			return true, s.endStep(ctx)
		}
	}
	return true, nil
}

func (s *Sender) testFrame(ctx context.Context, t *testRun) error {
	x := frame.Test{
		Run: t.id, Rate: t.plan.Rates[t.step], Step: uint32(t.step), Steps: uint32(len(t.plan.Rates)),
		Number: t.number, Count: t.count, Sent: time.Now(),
	}
	s.beat = x.Append(s.beat[:0], s.shard)
	return s.emit(ctx, &frame.Header{Kind: frame.KindTest, Start: frame.NoStart}, s.beat)
}

func (s *Sender) endStep(ctx context.Context) error {
	if err := s.tx.flush(ctx); err != nil {
		return err
	}
	t := s.test
	t.step, t.number, t.from = t.step+1, 0, time.Now().Add(testPause)
	if t.step == len(t.plan.Rates) {
		s.endTest(nil)
	}
	return nil
}

// endTest gives the line back to the classes.
func (s *Sender) endTest(err error) {
	if s.test == nil {
		return
	}
	s.test.done <- err // never blocks: a run ends once
	s.test = nil
	s.setRate(s.cfg.RateBits)
}
