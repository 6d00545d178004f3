package send_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/send"
)

// scenario is what happens to one sender.
type scenario struct {
	rate     uint64
	depth    int
	repeat   []time.Duration
	critical bool
	frames   uint64
	slow     time.Duration
	steps    []step
}

type step struct {
	kind  string
	class int
	size  int
	wait  time.Duration
}

func drawScenario(t *rapid.T) scenario {
	sc := scenario{
		rate:     rapid.SampledFrom([]uint64{2_000_000, 20_000_000, 300_000_000}).Draw(t, "rate"),
		depth:    rapid.SampledFrom([]int{1, 2, 16}).Draw(t, "depth"),
		repeat:   rapid.SampledFrom([][]time.Duration{nil, {300 * time.Millisecond}, {time.Millisecond, time.Second}}).Draw(t, "repeat"),
		critical: rapid.Bool().Draw(t, "critical"),
		frames:   rapid.SampledFrom([]uint64{500, 5000, 1 << 30}).Draw(t, "frames"),
		slow:     rapid.SampledFrom([]time.Duration{0, time.Millisecond, 40 * time.Millisecond}).Draw(t, "slow"),
	}
	kinds := []string{"add", "add", "add", "fail", "heal", "ready", "not ready", "no buffers", "resend", "test"}
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		sc.steps = append(sc.steps, step{
			kind:  rapid.SampledFrom(kinds).Draw(t, "kind"),
			class: rapid.IntRange(0, 1).Draw(t, "class"),
			size:  rapid.SampledFrom([]int{0, 1, 900, 20_000, 400_000}).Draw(t, "size"),
			wait:  rapid.SampledFrom([]time.Duration{0, time.Millisecond, 30 * time.Millisecond, 600 * time.Millisecond}).Draw(t, "wait"),
		})
	}
	return sc
}

// tale is a source that notes when it was told that batches were sent.
type tale struct {
	shelf
	b    *bench
	told []toldSent
}

type toldSent struct {
	through uint64
	wire    int
}

func (s *tale) Sent(through uint64) {
	s.told = append(s.told, toldSent{through, s.b.ear.wire})
	s.Source.Sent(through)
}

type world struct {
	*bench
	sc      scenario
	sources []*tale
	ready   atomic.Bool
}

func newWorld(t *testing.T, sc scenario, dir string) *world {
	t.Helper()
	b := &bench{t: t, link: linktest.New(1, linktest.Faults{}), began: time.Now()}
	w := &world{bench: b, sc: sc}
	w.ready.Store(true)
	e := b.listenIn()
	b.link.Tap(e.hear)
	b.config = config(b.link, nil, dir)
	clear(b.config.Classes)
	for i := range 2 {
		if i == 1 && !sc.critical {
			break
		}
		s := &tale{b: b}
		s.Source = linktest.NewSource(diode.Class(i))
		s.slow.Store(int64(sc.slow))
		w.sources = append(w.sources, s)
		b.config.Classes[diode.Class(i)] = class(byte(i+1), s)
	}
	b.config.RateBits, b.config.Interleave, b.config.Repeat = sc.rate, sc.depth, sc.repeat
	b.config.Ready = func() error {
		if !w.ready.Load() {
			return errors.New("not ready")
		}
		return nil
	}
	b.limit = func(s *send.Sender) { s.SetLimits(sc.frames, frame.MaxFrames, time.Hour) }
	b.start()
	return w
}

func (w *world) play(s step) {
	src := w.sources[s.class%len(w.sources)]
	_, next, _ := src.Bounds()
	switch s.kind {
	case "add":
		data := make([]byte, s.size)
		for i := range data {
			data[i] = byte(uint64(i) * next)
		}
		src.Add(data, uint32(next))
	case "fail":
		w.link.Fail(syscall.ENETDOWN)
	case "no buffers":
		w.link.Fail(syscall.ENOBUFS)
	case "heal":
		w.link.Fail(nil)
	case "ready", "not ready":
		w.ready.Store(s.kind == "ready")
	case "resend":
		if next > 1 {
			_, _ = w.tx.Resend(diode.Class(s.class%len(w.sources)), []diode.Range{{First: (next + 1) / 2, Last: next - 1}})
		}
	case "test":
		go func() {
			_ = w.tx.Test(w.t.Context(), send.TestPlan{Rates: []uint64{10_000_000}, Each: 50 * time.Millisecond})
		}()
	}
	w.after(s.wait)
}

func (w *world) allSent() bool {
	for _, src := range w.sources {
		if _, next, _ := src.Bounds(); src.SentThrough()+1 < next {
			return false
		}
	}
	return true
}

// check fails unless every batch left whole, in an unbroken row, and none
// was called sent before its last frame had left.
func (w *world) check() error {
	var last [2]uint64
	for i, x := range w.ear.shards {
		at := [2]uint64{x.h.Session, x.h.Counter}
		if i > 0 && (at[0] < last[0] || (at[0] == last[0] && at[1] <= last[1])) {
			return fmt.Errorf("frame %v after %v", at, last)
		}
		last = at
	}
	for i, src := range w.sources {
		if err := w.checkClass(src, w.ear.batches(diode.Class(i))); err != nil {
			return fmt.Errorf("class %d: %w", i, err)
		}
	}
	return nil
}

func (w *world) checkClass(src *tale, list []heardBatch) error {
	_, next, _ := src.Bounds()
	expect, whole := uint64(1), map[uint64]int{}
	for _, x := range list {
		want, err := src.Source.Read(x.Seq, nil)
		if err != nil || x.SumBefore != want.SumBefore || crc32.ChecksumIEEE(want.Data) != crc32.ChecksumIEEE(x.data) {
			return fmt.Errorf("batch %d is another: %w", x.Seq, err)
		}
		if x.partial {
			continue // an error cut it off; it came again
		}
		if x.Seq > expect && x.Flags&frame.FlagResend == 0 {
			return fmt.Errorf("batch %d came before %d", x.Seq, expect)
		}
		if x.Seq == expect {
			expect++
		}
		if _, ok := whole[x.Seq]; !ok {
			whole[x.Seq] = x.wire
		}
	}
	if expect != next || src.SentThrough() != next-1 {
		return fmt.Errorf("left up to %d, sent through %d of %d", expect-1, src.SentThrough(), next-1)
	}
	done := uint64(1)
	for _, told := range src.told {
		for ; done <= told.through; done++ {
			if at, ok := whole[done]; !ok || at > told.wire {
				return fmt.Errorf("batch %d was called sent at frame %d, but left at %d (%v)", done, told.wire, at, ok)
			}
		}
	}
	return nil
}

// Whatever happens to the link, the disk and the session: each batch leaves,
// in an unbroken row, and is called sent only when all its frames have left.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		sc := drawScenario(rt)
		dir := t.TempDir()
		var err error
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, sc, dir)
			for _, s := range sc.steps {
				w.play(s)
			}
			w.link.Fail(nil)
			w.ready.Store(true)
			for range 60 {
				if w.after(10 * time.Second); w.allSent() {
					break
				}
			}
			err = errors.Join(w.stop(), w.check())
		})
		if err != nil {
			rt.Fatalf("%v\n%+v", err, sc)
		}
	})
}
