package linktest_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// scenario is what one run of the model does.
type scenario struct {
	seed       uint64
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

func drawScenario(t *rapid.T) scenario {
	chance := func(name string, most float64) float64 {
		return rapid.SampledFrom([]float64{0, 0, most / 10, most}).Draw(t, name)
	}
	sc := scenario{
		seed: rapid.Uint64().Draw(t, "seed"),
		faults: linktest.Faults{
			Loss:      chance("loss", 0.4),
			Burst:     rapid.SampledFrom([]int{1, 1, 10, 60}).Draw(t, "burst"),
			Duplicate: chance("duplicate", 0.2),
			Corrupt:   chance("corrupt", 0.05),
			Truncate:  chance("truncate", 0.05),
			Reorder:   chance("reorder", 0.3),
		},
		classes:    rapid.IntRange(1, 2).Draw(t, "classes"),
		rate:       rapid.SampledFrom([]uint64{2_000_000, 50_000_000, 1_000_000_000}).Draw(t, "rate"),
		parity:     rapid.SampledFrom([]float64{0, 0.25, 1}).Draw(t, "parity"),
		interleave: rapid.SampledFrom([]int{1, 1, 4}).Draw(t, "interleave"),
		repeat: rapid.SampledFrom([][]time.Duration{
			nil, nil, {500 * time.Millisecond}, {100 * time.Millisecond, 1500 * time.Millisecond},
		}).Draw(t, "repeat"),
	}
	for range rapid.IntRange(1, 12).Draw(t, "steps") {
		sc.steps = append(sc.steps, step{
			do:    rapid.SampledFrom([]string{"add", "add", "add", "big", "send", "recv", "cut", "fail", "epoch", "epoch?"}).Draw(t, "do"),
			n:     rapid.IntRange(1, 40).Draw(t, "n"),
			pause: time.Duration(rapid.IntRange(0, 3000).Draw(t, "ms")) * time.Millisecond,
		})
	}
	return sc
}

// world is a near side, a link and a far side.
type world struct {
	t        *testing.T
	sc       scenario
	rng      *rand.Rand
	link     *linktest.Link
	sink     *linktest.Sink
	sources  map[seriesID]*linktest.Source
	epochs   byte
	known    bool // the newest epoch knows where the one before ended
	sendDir  string
	recvDir  string
	stopSend func()
	stopRecv func()
	errs     []error
	rx       *recv.Receiver
	tx       *send.Sender
}

func newWorld(t *testing.T, sc scenario, sendDir, recvDir string) *world {
	t.Helper()
	w := &world{
		t: t, sc: sc, rng: rand.New(rand.NewPCG(sc.seed, 1)), link: linktest.New(sc.seed, sc.faults), sink: linktest.NewSink(),
		sources: make(map[seriesID]*linktest.Source), sendDir: sendDir, recvDir: recvDir,
	}
	w.newEpoch(false)
	w.startRecv()
	w.startSend()
	return w
}

func (w *world) newEpoch(known bool) {
	w.epochs++
	w.known = known
	for class := range w.sc.classes {
		w.sources[w.id(class)] = linktest.NewSource(diode.Class(class))
	}
}

func (w *world) id(class int) seriesID {
	return seriesID{epoch(w.epochs), diode.Class(class)}
}

func (w *world) run(f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.errs = append(w.errs, err)
		}
	}
}

func (w *world) startSend() {
	c := send.Config{
		Link: "model", PSK: psk(), KeyID: 7, Epoch: epoch(w.epochs), Conn: w.link, StateDir: w.sendDir, RateBits: w.sc.rate,
		Parity: w.sc.parity, Interleave: w.sc.interleave, Repeat: w.sc.repeat, Sources: make(map[diode.Class]send.Source),
	}
	if w.epochs > 1 {
		c.PrevEpoch = epoch(w.epochs - 1)
		c.Prev = make(map[diode.Class]diode.Position)
	}
	for class := range w.sc.classes {
		id := w.id(class)
		c.Sources[id.class] = w.sources[id]
		if w.known {
			_, next, sum := w.sources[seriesID{epoch(w.epochs - 1), id.class}].Bounds()
			c.Prev[id.class] = diode.Position{Seq: next - 1, SumAfter: sum}
		}
	}
	s, err := send.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.tx = s
	w.stopSend = w.run(s.Run)
}

func (w *world) startRecv() {
	r, err := recv.New(recv.Config{
		Link: "model", Keys: []recv.Key{{ID: 7, PSK: psk()}}, Conn: w.link, StateDir: w.recvDir, Sink: w.sink,
		Positions: w.sink.Positions(), Open: w.sink.Open(), HoleAfter: 2 * time.Second,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.rx = r
	w.stopRecv = w.run(r.Run)
}

func (w *world) add(n, size int) {
	for range n {
		class := w.rng.IntN(w.sc.classes)
		data := make([]byte, w.rng.IntN(size))
		for i := range data {
			data[i] = byte(w.rng.Uint32())
		}
		w.sources[w.id(class)].Add(data, w.rng.Uint32N(1000))
	}
}

func (w *world) step(s step) {
	switch s.do {
	case "add":
		w.add(s.n, 3000)
	case "big":
		w.add(s.n/4+1, 200_000)
	case "send":
		w.stopSend()
		for _, src := range w.sources {
			src.Rewind(1 + s.n)
		}
		w.startSend()
	case "recv":
		w.stopRecv()
		w.link.Drop()
		w.startRecv()
	case "cut":
		w.link.Cut(true)
		time.Sleep(s.pause)
		w.link.Cut(false)
	case "fail":
		w.link.Fail(os.ErrPermission)
		time.Sleep(s.pause)
		w.link.Fail(nil)
	case "epoch", "epoch?":
		w.stopSend()
		w.newEpoch(s.do == "epoch")
		w.startSend()
	}
	time.Sleep(s.pause)
}

// healAfter is how many seconds the far side gets to learn the end under the
// link's faults. The worst links drawn let a few datagrams in a hundred pass,
// and may stay silent for longer than that: then the faults end.
const healAfter = 300

// settle waits until everything of the newest epoch is delivered or named.
func (w *world) settle() error {
	w.add(1, 10)
	w.add(1, 10)
	var c *checker
	for second := range healAfter + 60 {
		if second == healAfter {
			w.link.Set(linktest.Faults{})
		}
		time.Sleep(time.Second)
		c = newChecker(w.sources)
		if err := c.events(w.sink.Events()); err != nil {
			return err
		}
		reached := true
		for class := range w.sc.classes {
			reached = reached && c.reached(w.id(class))
		}
		if reached {
			return w.oldEpochs(c)
		}
	}
	return fmt.Errorf("not settled 60 s after the faults ended: %+v", w.rx.Stats())
}

// oldEpochs checks that the end of each epoch before is stated, where the far
// side ever heard of it.
func (w *world) oldEpochs(c *checker) error {
	for id, walk := range c.series {
		if id.epoch == epoch(w.epochs) || (walk.next == 1 && !walk.open) {
			continue
		}
		if !walk.open && !c.reached(id) {
			return fmt.Errorf("epoch %d class %d: the tail after %d is not stated", id.epoch[15], id.class, walk.next-1)
		}
	}
	return nil
}

func (w *world) close() {
	w.stopSend()
	w.stopRecv()
}

// Property: each batch exactly once, in order unless late, else in a gap.
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
	sendDir, recvDir := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, sc, sendDir, recvDir)
		for _, s := range sc.steps {
			w.step(s)
		}
		err = w.settle()
		w.close()
		if err == nil && len(w.errs) > 0 {
			err = w.errs[0]
		}
	})
	return err
}
