package send_test

import (
	"errors"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/send"
)

// Alarms leave in time while bulk has a backlog: neither its blocks nor their
// parity, however deeply interleaved, keep the line for long.
func TestCriticalOvertakesBacklog(t *testing.T) {
	for _, c := range []struct {
		rate  uint64
		depth int
		limit time.Duration
	}{
		{1_000_000, 1, 150 * time.Millisecond},
		{10_000_000, 1, 25 * time.Millisecond},
		{10_000_000, 16, 25 * time.Millisecond},
		{100_000_000, 16, 15 * time.Millisecond},
	} {
		var critical *linktest.Source
		listening(t, func(cfg *send.Config) {
			cfg.RateBits, cfg.Interleave = c.rate, c.depth
			critical = linktest.NewSource(diode.Critical)
			cfg.Classes[diode.Critical] = class(2, critical)
		}, unlimited, func(b *bench, e *ear) {
			for range int(c.rate/8) * 6 / 500_000 {
				b.source.Add(make([]byte, 500_000), 1)
			}
			b.after(time.Second)
			var added []time.Duration
			for range 50 {
				added = append(added, time.Since(b.began))
				critical.Add([]byte("alarm"), 1)
				b.after(67 * time.Millisecond)
			}
			b.after(time.Second)
			list := e.batches(diode.Critical)
			if len(list) != 50 {
				b.t.Fatalf("%d alarms", len(list))
			}
			worst := time.Duration(0)
			for i, x := range list {
				worst = max(worst, x.ended-added[i])
			}
			if worst > c.limit {
				b.t.Errorf("%d bit/s, depth %d: an alarm took %v", c.rate, c.depth, worst)
			}
		})
	}
}

// At the lowest rate, with the deepest interleaving and large batches in every
// class, heartbeats still come.
func TestHeartbeatsAtTheLowestRate(t *testing.T) {
	var critical *linktest.Source
	inBubble(t, func(c *send.Config) {
		c.RateBits, c.Interleave = 64_000, 16
		critical = linktest.NewSource(diode.Critical)
		c.Classes[diode.Critical] = class(2, critical)
	}, func(b *bench) {
		for range 3 {
			b.source.Add(make([]byte, 1<<20), 1)
			critical.Add(make([]byte, 1<<20), 1)
		}
		b.after(10 * time.Minute)
		beats := b.kinds(frame.KindHeartbeat)
		for i := 1; i < len(beats); i++ {
			if gap := beats[i].at - beats[i-1].at; gap > 1500*time.Millisecond {
				b.t.Fatalf("no heartbeat for %v at %v", gap, beats[i].at)
			}
		}
		data := 0
		for _, x := range b.kinds(frame.KindShard) {
			data += x.size
		}
		if share := float64(data) / (600 * 8000); share < 0.6 {
			b.t.Errorf("data has %.0f %% of the line", 100*share)
		}
	})
}

// Each class is protected and repeated in its own way.
func TestClassesDiffer(t *testing.T) {
	var critical *linktest.Source
	inBubble(t, func(c *send.Config) {
		c.Repeat, c.Parity = []time.Duration{time.Second}, 0.5
		critical = linktest.NewSource(diode.Critical)
		own := class(2, critical)
		own.Parity, own.MaxDelay, own.Repeat = 1, time.Millisecond, []time.Duration{}
		c.Classes[diode.Critical] = own
	}, func(b *bench) {
		b.after(500 * time.Millisecond)
		b.source.Add(make([]byte, 20_000), 1)
		critical.Add(make([]byte, 20_000), 1)
		b.after(400 * time.Millisecond)
		if b.source.SentThrough() != 0 || critical.SentThrough() != 1 {
			b.t.Errorf("sent through %d and %d before the repeat", b.source.SentThrough(), critical.SentThrough())
		}
		b.after(2 * time.Second)
		var closed [2]time.Duration
		for _, x := range b.kinds(frame.KindShard) {
			if x.h.Code == frame.CodeOpen {
				continue
			}
			if want := []uint8{8, 15}[x.h.Class]; x.h.K != 15 || x.h.M != want {
				b.t.Fatalf("class %d: %d+%d", x.h.Class, x.h.K, x.h.M)
			}
			if closed[x.h.Class] == 0 {
				closed[x.h.Class] = x.at - 500*time.Millisecond
			}
		}
		if closed[0] < 5*time.Millisecond || closed[1] > 4*time.Millisecond {
			b.t.Errorf("closed after %v", closed)
		}
		if st := b.tx.Stats(); b.source.SentThrough() != 1 || st.Copies != 1 {
			b.t.Errorf("%+v", st)
		}
	})
}

// dated is a source that knows when its batches came.
type dated struct {
	*linktest.Source
	oldest time.Time
}

func (d dated) Oldest() time.Time { return d.oldest }

// Headers and heartbeats say what the source says of epochs and times; over
// parallel links every batch says that copies follow.
func TestWhatBatchesAndHeartbeatsSay(t *testing.T) {
	oldest := time.Unix(1_700_000_000, 5)
	epoch := diode.Epoch{ID: [16]byte{7}, Start: 3, StartSum: 99, Prev: [16]byte{6}, PrevKnown: true}
	listening(t, func(c *send.Config) {
		src, ok := c.Classes[diode.Bulk].Source.(*linktest.Source)
		if !ok {
			t.Fatal("another source")
		}
		c.Parallel, c.Repeat = true, []time.Duration{time.Second}
		c.Classes[diode.Bulk] = send.ClassConfig{Source: dated{src, oldest}, Epoch: epoch}
	}, unlimited, func(b *bench, e *ear) {
		b.source.Add([]byte("x"), 1)
		b.after(500 * time.Millisecond)
		b.link.Fail(syscall.ENETDOWN)
		b.after(2 * time.Second)
		b.link.Fail(nil)
		b.after(4 * time.Second)
		beat := e.beats[len(e.beats)-1]
		if s := beat.Series[0]; s.Epoch != epoch || !s.Oldest.Equal(oldest) || s.Class != diode.Bulk {
			b.t.Errorf("%+v", s)
		}
		st := b.tx.Stats()
		if c := beat.Counters; c.Holds != 1 || c.Copies != st.Copies || c.Frames == 0 || c.WireBytes < 100*c.Frames {
			b.t.Errorf("%+v, %+v", c, st)
		}
		list := e.batches(diode.Bulk)
		for _, x := range list {
			if x.Flags&frame.FlagCopiesFollow == 0 || x.Epoch != epoch.ID {
				b.t.Errorf("flags %d, epoch %x", x.Flags, x.Epoch)
			}
		}
		if len(list) < 3 {
			b.t.Errorf("%d copies", len(list))
		}
	})
}

// While the caller says no, nothing leaves, not even a probe; afterwards the
// sender goes back as after an error.
func TestReady(t *testing.T) {
	no := errors.New("neighbour entry is missing")
	var ready atomic.Bool
	var asked atomic.Int64
	listening(t, func(c *send.Config) {
		c.Ready = func() error {
			asked.Add(1)
			if !ready.Load() {
				return no
			}
			return nil
		}
	}, unlimited, func(b *bench, e *ear) {
		b.source.Add([]byte("first"), 1)
		b.after(3 * time.Second)
		if st := b.tx.Stats(); len(b.sent) > 0 || !st.Holding || asked.Load() < 25 || asked.Load() > 35 {
			b.t.Fatalf("%d frames, asked %d times, %+v", len(b.sent), asked.Load(), st)
		}
		ready.Store(true)
		b.after(time.Second)
		if n := len(b.kinds(frame.KindAnnounce)); n < 8 || b.source.SentThrough() != 1 {
			b.t.Errorf("%d announcements, sent through %d", n, b.source.SentThrough())
		}
		ready.Store(false)
		b.after(150 * time.Millisecond)
		before := len(b.sent)
		b.source.Add([]byte("second"), 1)
		b.after(5 * time.Second)
		if len(b.sent) > before || b.source.SentThrough() != 1 || !b.tx.Stats().Holding {
			b.t.Errorf("%d frames left while it was not ready", len(b.sent)-before)
		}
		ready.Store(true)
		asked.Store(0)
		b.after(10 * time.Second)
		if got := seqs(e.batches(diode.Bulk)); !slices.Equal(got, []uint64{1, 1, 2}) || b.source.SentThrough() != 2 {
			b.t.Errorf("left: %v, sent through %d", got, b.source.SentThrough())
		}
		if asked.Load() > 105 {
			b.t.Errorf("asked %d times in 10 s", asked.Load())
		}
	})
}

// A device queue that stays full is a link that takes nothing.
func TestNoBufferSpaceForLongIsHeld(t *testing.T) {
	inBubble(t, nothing, func(b *bench) {
		b.after(500 * time.Millisecond)
		b.source.Add([]byte("x"), 1)
		b.link.Fail(syscall.ENOBUFS)
		b.after(5 * time.Second)
		if st := b.tx.Stats(); !st.Holding || b.source.SentThrough() != 0 {
			b.t.Errorf("%+v", st)
		}
		b.link.Fail(nil)
		b.after(time.Second)
		if st := b.tx.Stats(); st.Holding || b.source.SentThrough() != 1 {
			b.t.Errorf("sent through %d, %+v", b.source.SentThrough(), st)
		}
	})
}

// After errors under load, with a slow disk and repeats, the far side still
// sees each batch first right behind the one before.
func TestSeriesIsUnbrokenAfterErrors(t *testing.T) {
	for _, repeat := range [][]time.Duration{nil, {200 * time.Millisecond}} {
		s := &shelf{}
		s.slow.Store(int64(3 * time.Millisecond))
		listening(t, shelved(s, func(c *send.Config) { c.RateBits, c.Repeat, c.Interleave = 40_000_000, repeat, 2 }), unlimited, func(b *bench, e *ear) {
			for range 120 {
				b.source.Add(make([]byte, 30_000), 1)
			}
			for i := range 4 {
				b.after(250 * time.Millisecond)
				b.link.Fail(syscall.ENETDOWN)
				b.after(time.Duration(50+i*70) * time.Millisecond)
				b.link.Fail(nil)
			}
			b.after(20 * time.Second)
			b.checkUnbroken(e.batches(diode.Bulk), 120)
			if b.source.SentThrough() != 120 {
				b.t.Errorf("sent through %d", b.source.SentThrough())
			}
		})
	}
}
