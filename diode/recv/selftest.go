package recv

import (
	"math"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxTestSteps = 64
	testWindow   = 8192            // numbers by which frames of a self-test may overtake each other
	testSamples  = 2048            // latencies kept per step
	testSilence  = 2 * time.Second // after which a step that stands still is over
)

// TestStep is what arrived of the frames sent at one rate.
type TestStep struct {
	Rate        uint64 // bits per second on the wire
	Count       uint64 // frames sent
	Received    uint64
	Lost        uint64
	Runs        uint64 // how often frames in a row were lost
	LongestRun  uint64
	Reordered   uint64 // frames that another overtook
	KernelDrops uint64 // of them lost in this machine
	// Latencies above the smallest of the whole test: the clocks of both sides
	// differ, so that only differences can be told.
	P50, P99, Max time.Duration
	Over          bool // nothing more of the step comes
}

// Loss is the part of the frames that was lost.
func (s TestStep) Loss() float64 { return float64(s.Lost) / float64(max(s.Count, 1)) }

// TestReport is what a self-test showed.
type TestReport struct {
	Run   uint64
	Began time.Time // first frame here
	Ended time.Time // newest frame here
	Done  bool      // all steps are over
	Steps []TestStep
	// Rate is the highest at which what was lost can be repaired, with
	// DesignLoss and Interleave as settings of the link. 0: there is none.
	Rate       uint64
	DesignLoss float64
	Interleave int
}

// testRun is the self-test of which frames came last.
type testRun struct {
	id           uint64
	began, ended time.Time
	steps        []*testStep
	total        int
	least        time.Duration // smallest difference between both clocks
}

// testStep counts with a window: what leaves it behind is received or lost.
type testStep struct {
	TestStep
	number    uint32
	seen      [testWindow / 64]uint64
	next      uint64 // highest number plus one
	settled   uint64 // numbers below it are decided
	run       uint64 // lost in a row before settled
	every     uint64 // of so many frames one latency is kept
	latencies []time.Duration
	drops     uint64 // kernel's count at its first frame
}

// testFrame takes the opened plaintext of a frame of a self-test.
func (p *path) testFrame(x *session, plain []byte) {
	f, err := frame.ParseTest(plain)
	if err != nil || f.Steps > maxTestSteps {
		p.frames.BadBody++
		return
	}
	p.frames.Tests++
	if x != p.active {
		return
	}
	t := &p.test
	if t.id != f.Run {
		*t = testRun{id: f.Run, began: p.now, total: int(f.Steps), least: math.MaxInt64}
	}
	t.ended = p.now
	s := t.step(&f, p.frames.KernelDrops)
	if s == nil {
		return
	}
	took := p.now.Sub(f.Sent)
	t.least = min(t.least, took)
	if s.put(uint64(f.Number)) && uint64(f.Number)%s.every == 0 {
		s.latencies = append(s.latencies, took)
	}
}

// step returns the step of a frame and ends those before it, or nil for a frame
// that comes after its step.
func (t *testRun) step(f *frame.Test, drops uint64) *testStep {
	if n := len(t.steps); n > 0 {
		last := t.steps[n-1]
		if last.number == f.Step {
			return last
		}
		if last.number > f.Step {
			return nil
		}
		last.end(drops)
	}
	s := &testStep{number: f.Step, drops: drops, every: uint64(f.Count)/testSamples + 1}
	s.Rate, s.Count = f.Rate, uint64(f.Count)
	t.steps = append(t.steps, s)
	return s
}

// put notes number n and says whether it is new.
func (s *testStep) put(n uint64) bool {
	if n < s.settled || n >= s.Count {
		return false
	}
	if n >= s.next {
		s.settle(n + 1 - min(n+1, testWindow))
		s.next = n + 1
	}
	word, bit := &s.seen[n%testWindow/64], uint64(1)<<(n%64)
	if *word&bit != 0 {
		return false
	}
	if n+1 < s.next {
		s.Reordered++
	}
	*word |= bit
	s.Received++
	return true
}

// settle decides on every number below to.
func (s *testStep) settle(to uint64) {
	for ; s.settled < to; s.settled++ {
		word, bit := &s.seen[s.settled%testWindow/64], uint64(1)<<(s.settled%64)
		if *word&bit != 0 {
			*word &^= bit
			s.run = 0
			continue
		}
		if s.run == 0 {
			s.Runs++
		}
		s.run++
		s.Lost++
		s.LongestRun = max(s.LongestRun, s.run)
	}
}

func (s *testStep) end(drops uint64) {
	if s.Over {
		return
	}
	s.settle(s.Count)
	s.Over, s.KernelDrops = true, drops-s.drops
}

// TestReport returns what the newest self-test on the link showed so far, and
// whether there was one.
func (r *Receiver) TestReport(link string) (TestReport, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.path(link)
	if err != nil || p.test.id == 0 {
		return TestReport{}, false
	}
	t := &p.test
	out := TestReport{Run: t.id, Began: t.began, Ended: t.ended}
	for i, s := range t.steps {
		if i == len(t.steps)-1 && (s.next == s.Count || time.Since(t.ended) > testSilence) {
			s.end(p.frames.KernelDrops)
		}
		out.Steps = append(out.Steps, s.show(t.least))
	}
	last := t.steps[len(t.steps)-1]
	out.Done = last.Over && (int(last.number)+1 == t.total || time.Since(t.ended) > testSilence)
	out.recommend()
	return out, true
}

func (s *testStep) show(least time.Duration) TestStep {
	out := s.TestStep
	if n := len(s.latencies); n > 0 {
		sorted := slices.Sorted(slices.Values(s.latencies))
		out.P50, out.P99, out.Max = sorted[n/2]-least, sorted[n*99/100]-least, sorted[n-1]-least
	}
	return out
}

// recommend picks the highest rate below which every step can be repaired.
func (t *TestReport) recommend() {
	for _, s := range t.Steps {
		if !s.Over {
			return
		}
		design, depth, ok := settings(s)
		if !ok {
			return
		}
		if s.Rate >= t.Rate {
			t.Rate, t.DesignLoss, t.Interleave = s.Rate, max(t.DesignLoss, design), max(t.Interleave, depth)
		}
	}
}

const (
	leastDesign  = 0.01 // what the link assumes by default
	lossMargin   = 2    // a test is short: the loss may be twice that
	mostDepth    = 16   // of interleaving
	shardBytesAt = 1408 // at an MTU of 1500; the shape does not depend on it
)

// settings says what the link needs to repair what was lost in a step.
func settings(s TestStep) (design float64, depth int, ok bool) {
	design = max(leastDesign, math.Ceil(s.Loss()*lossMargin*1000)/1000)
	shape, err := fec.Protection{DesignLoss: design}.Bulk(shardBytesAt)
	if err != nil {
		return 0, 0, false
	}
	half := uint64(shape.Parity) / 2 // the rest is for what is lost beside the run
	depth = int(min((s.LongestRun+half-1)/half, mostDepth+1))
	return design, max(depth, 1), depth <= mostDepth
}
