package linktest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
)

// scenario is what one run of the model does.
type scenario struct {
	seed       uint64
	links      int
	faults     linktest.Faults
	classes    int
	rate       uint64
	parity     float64
	interleave int
	repeat     []time.Duration
	steps      []step
}

type step struct {
	do    string
	n     int
	pause time.Duration
}

// deeds are the steps, the more frequent ones more often.
func deeds() []string {
	return []string{
		"add", "add", "add", "add", "big", "send", "send", "recv", "recv", "cut", "cut one", "fail", "epoch", "epoch?",
		"spare send", "backup send", "restore send", "spare recv", "backup recv", "restore recv", "full", "resend", "replay", "evict",
	}
}

func drawScenario(t *rapid.T) scenario {
	chance := func(name string, most float64) float64 {
		return rapid.SampledFrom([]float64{0, 0, most / 10, most}).Draw(t, name)
	}
	sc := scenario{
		seed:  rapid.Uint64().Draw(t, "seed"),
		links: rapid.SampledFrom([]int{1, 1, 2}).Draw(t, "links"),
		faults: linktest.Faults{
			Loss:      chance("loss", 0.4),
			Burst:     rapid.SampledFrom([]int{1, 1, 10, 60}).Draw(t, "burst"),
			Duplicate: chance("duplicate", 0.2),
			Corrupt:   chance("corrupt", 0.05),
			Truncate:  chance("truncate", 0.05),
			Reorder:   chance("reorder", 0.3),
		},
		classes:    rapid.IntRange(1, 3).Draw(t, "classes"),
		rate:       rapid.SampledFrom([]uint64{2_000_000, 50_000_000, 1_000_000_000}).Draw(t, "rate"),
		parity:     rapid.SampledFrom([]float64{0, 0.25, 1}).Draw(t, "parity"),
		interleave: rapid.SampledFrom([]int{1, 1, 4}).Draw(t, "interleave"),
		repeat: rapid.SampledFrom([][]time.Duration{
			nil, nil, {500 * time.Millisecond}, {100 * time.Millisecond, 1500 * time.Millisecond},
		}).Draw(t, "repeat"),
	}
	for range rapid.IntRange(1, 14).Draw(t, "steps") {
		sc.steps = append(sc.steps, step{
			do:    rapid.SampledFrom(deeds()).Draw(t, "do"),
			n:     rapid.IntRange(1, 40).Draw(t, "n"),
			pause: time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond,
		})
	}
	return sc
}

// healAfter is how many seconds the far side gets to learn the end under the
// link's faults. The worst links drawn let a few datagrams in a hundred pass,
// and may stay silent for longer than that: then the faults end.
const healAfter = 300

// settle waits until everything is delivered or named.
func (w *world) settle() error {
	w.add(1, 10)
	w.addEach()
	var lost diode.BatchID
	for second := range healAfter + 60 {
		if second == healAfter {
			w.heal()
		}
		time.Sleep(time.Second)
		c, err := w.check()
		if err != nil {
			return err
		}
		id, missing := w.unaccounted(c)
		if !missing {
			return nil
		}
		lost = id
	}
	st := w.rx.Stats()
	return fmt.Errorf("batch %v neither there nor named 60 s after the faults ended: %+v", lost, st.Series)
}

// unaccounted returns a batch that is neither there nor named.
func (w *world) unaccounted(c *checker) (lost diode.BatchID, missing bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, walk := range c.series {
		if id, ok := walk.lost(); ok && w.expected(walk, id) {
			lost, missing = id, true
		}
		missing = missing || len(walk.pending) > 0
	}
	return lost, missing
}

// expected says whether the far side must account for the batch: of an epoch
// that it never heard of, only when that is the newest.
func (w *world) expected(walk *walk, id diode.BatchID) bool {
	return walk.next != 0 || id.Epoch == w.sources[id.Class].Epoch().ID
}

// check holds what is in the far sink against what there ever was.
func (w *world) check() (*checker, error) {
	c := newChecker(w.truths)
	if err := c.events(w.sink.Events()); err != nil {
		return nil, err
	}
	if st := w.rx.Stats(); st.MemoryMax > memoryBytes {
		return nil, fmt.Errorf("memory of %d bytes", st.MemoryMax)
	}
	return c, nil
}

// refill has everything sent again that is named and still there, and checks
// that it comes.
func (w *world) refill() error {
	w.heal()
	time.Sleep(3 * time.Second) // every link is up
	w.resend()
	for range 120 {
		time.Sleep(time.Second)
		c, err := w.check()
		if err != nil {
			return err
		}
		if !w.retainsMissing(c) {
			return nil
		}
	}
	return fmt.Errorf("a minute after all was sent again, some of it is still missing: %+v, events%s", w.rx.Stats().Series, story(w.sink.Events()))
}

func (w *world) retainsMissing(c *checker) bool {
	for id, walk := range c.series {
		if walk.rewound {
			continue
		}
		for seq := range walk.missing {
			if b, err := w.sources[id.class].Read(seq, nil); err == nil && b.Epoch == id.epoch {
				return true
			}
		}
	}
	return false
}

// Property: each batch exactly once, in order unless late, else in a gap; and
// what is in a gap comes when it is sent again.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := drawScenario(rt)
		if err := playScenario(t, sc); err != nil {
			rt.Fatalf("%v\n%+v", err, sc)
		}
	})
}

func playScenario(t *testing.T, sc scenario) (err error) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sc, dir)
		for _, s := range sc.steps {
			w.step(s)
		}
		err = w.settle()
		if err == nil {
			err = w.refill()
		}
		w.close()
		if err == nil && len(w.errs) > 0 {
			err = w.errs[0]
		}
	})
	return err
}
