package send_test

import (
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/send"
)

// A counter that came twice in a session would be a nonce used twice: not
// after thousands of frames, and not after the link took none for a while.
func TestCountersNeverRepeat(t *testing.T) {
	inBubble(t, func(c *send.Config) { c.RateBits = 1_000_000_000 }, func(b *bench) {
		for range 6 {
			b.source.Add(make([]byte, 1<<20), 1)
		}
		b.after(time.Second)
		b.link.Fail(syscall.ENETDOWN)
		b.source.Add([]byte("during"), 1)
		b.after(time.Second)
		b.link.Fail(nil)
		b.after(time.Second)
		var next uint64
		for _, x := range b.sent {
			if x.h.Kind == frame.KindAnnounce {
				continue
			}
			if x.h.Counter < next {
				b.t.Fatalf("counter %d after %d", x.h.Counter, next-1)
			}
			next = x.h.Counter + 1
		}
		if b.tx.Stats().Holds != 1 || next < 10_000 {
			b.t.Errorf("%d counters, %+v", next, b.tx.Stats())
		}
	})
}

// Whatever way a block takes, all its data and all its parity leave.
func TestEveryShardLeaves(t *testing.T) {
	for _, depth := range []int{1, 4} {
		inBubble(t, func(c *send.Config) {
			c.Interleave, c.RateBits, c.MaxDelay = depth, 1_000_000_000, time.Millisecond
		}, func(b *bench) {
			b.after(500 * time.Millisecond)
			b.source.Add(make([]byte, 1<<20), 1)
			b.source.Add(make([]byte, 1<<20), 1)
			b.after(time.Second)
			for range 100 { // more small blocks than may hold their parity back
				b.source.Add([]byte("alarm"), 1)
				b.after(1500 * time.Microsecond)
			}
			b.after(time.Second)
			b.checkBlocks()
		})
	}
}

// checkBlocks fails for each block of which not every shard left once.
func (b *bench) checkBlocks() {
	b.t.Helper()
	left, total := map[uint64]map[uint8]int{}, map[uint64]int{}
	for _, x := range b.kinds(frame.KindShard) {
		if left[x.h.Block] == nil {
			left[x.h.Block] = map[uint8]int{}
		}
		left[x.h.Block][x.h.Index]++
		if x.h.Code != frame.CodeOpen {
			total[x.h.Block] = int(x.h.K) + int(x.h.M)
		}
	}
	if len(left) < 100 {
		b.t.Errorf("only %d blocks", len(left))
	}
	for n, shards := range left {
		if len(shards) != total[n] {
			b.t.Errorf("block %d: %d of %d shards left", n, len(shards), total[n])
		}
		for index, times := range shards {
			if times != 1 {
				b.t.Errorf("block %d: shard %d left %d times", n, index, times)
			}
		}
	}
}

// A batch whose block waits for others to alternate with is not sent.
func TestInterleavedBlockIsNotSentBeforeItLeaves(t *testing.T) {
	inBubble(t, func(c *send.Config) { c.Interleave, c.RateBits = 4, 1_000_000_000 }, func(b *bench) {
		b.after(500 * time.Millisecond)
		before, _ := b.link.Counts()
		b.source.Add([]byte("ends in the first block"), 1)
		b.source.Add(make([]byte, 400<<10), 1)
		b.after(time.Millisecond)
		if n, _ := b.link.Counts(); n != before {
			b.t.Fatalf("%d frames left at once: nothing to test", n-before)
		}
		if got := b.source.SentThrough(); got != 0 {
			b.t.Errorf("sent through %d before a frame left", got)
		}
		b.after(time.Second)
		if got := b.source.SentThrough(); got != 2 {
			b.t.Errorf("sent through %d", got)
		}
	})
}

// Headers count for every datagram of a burst, and heartbeats and announcements
// are paid for by the data after them. Frames leave in the order of their
// counters.
func TestPacingOfBursts(t *testing.T) {
	const rate, slack = 400_000_000, 200_000 // bit/s; bytes, two bursts
	inBubble(t, func(c *send.Config) { c.RateBits, c.Heartbeat = rate, 10*time.Millisecond }, func(b *bench) {
		for range 40 {
			b.source.Add(make([]byte, 1<<20), 1)
		}
		b.after(time.Second)
		b.checkRate(rate, slack)
		var next uint64
		for _, x := range b.sent {
			if x.h.Kind != frame.KindAnnounce {
				if x.h.Counter != next {
					b.t.Fatalf("counter %d, want %d", x.h.Counter, next)
				}
				next++
			}
		}
	})
}

// checkRate fails when more than rate (bit/s) left since the first data, but
// for slack bytes, or much less.
func (b *bench) checkRate(rate, slack int) {
	b.t.Helper()
	first := b.kinds(frame.KindShard)[0].at
	bytes, took := 0, time.Duration(0)
	for _, x := range b.sent {
		if x.at < first {
			continue
		}
		took = x.at - first
		bytes += x.size + 38 + 8 + 20
		if limit := int(float64(rate)/8*took.Seconds()) + slack; bytes > limit {
			b.t.Fatalf("%d bytes on the wire in %v, at most %d", bytes, took, limit)
		}
	}
	if least := int(float64(rate) / 8 * took.Seconds() * 0.95); bytes < least || took == 0 {
		b.t.Errorf("%d bytes in %v, at least %d", bytes, took, least)
	}
}

// Heartbeats have tokens of their own: on a line that is full, one leaves right
// behind its announcement, and the next data pays for both.
func TestHeartbeatDoesNotWaitForTokens(t *testing.T) {
	const rate = 640_000 // bit/s: a full frame takes 19 ms
	inBubble(t, func(c *send.Config) { c.RateBits = rate }, func(b *bench) {
		for range 4 {
			b.source.Add(make([]byte, 1<<20), 1)
		}
		b.after(10 * time.Second)
		for i, x := range b.sent {
			if x.h.Kind != frame.KindHeartbeat {
				continue
			}
			if before := b.sent[i-1]; before.h.Kind != frame.KindAnnounce || before.at != x.at {
				b.t.Errorf("heartbeat at %v behind %d at %v", x.at, before.h.Kind, before.at)
			}
		}
		if n := len(b.kinds(frame.KindHeartbeat)); n < 9 {
			b.t.Errorf("%d heartbeats in 10 s", n)
		}
	})
}

// What a heartbeat calls sent has left with all its parity; what it calls
// accepted is all that the source has.
func TestHeartbeatSaysWhatWasSent(t *testing.T) {
	listening(t, nothing, unlimited, func(b *bench, e *ear) {
		b.after(500 * time.Millisecond)
		b.source.Add([]byte("one"), 10)
		b.source.Add([]byte("two"), 20)
		b.after(660 * time.Millisecond)
		b.source.Add([]byte("three"), 40) // its parity leaves after the heartbeat at 1.175 s
		b.after(100 * time.Millisecond)
		if len(e.beats) != 4 || len(e.beats[3].Series) != 1 {
			b.t.Fatalf("%+v", e.beats)
		}
		want := frame.Series{
			Epoch: diode.Epoch{ID: [16]byte{1}, Start: 1}, First: 1, Sent: 2, SentSum: 30, Accepted: 3, AcceptedSum: 70,
		}
		if got := e.beats[3].Series[0]; got != want {
			b.t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// The far side waits for the copies that it is told of, and for no others.
func TestCopiesAreAnnouncedInTheBatch(t *testing.T) {
	for _, c := range []struct {
		repeat []time.Duration
		want   []uint8
	}{
		{nil, []uint8{0}},
		{[]time.Duration{time.Second, 3 * time.Second}, []uint8{
			frame.FlagCopiesFollow, frame.FlagRepeat | frame.FlagCopiesFollow, frame.FlagRepeat,
		}},
	} {
		listening(t, func(cfg *send.Config) { cfg.Repeat = c.repeat }, unlimited, func(b *bench, e *ear) {
			b.after(300 * time.Millisecond)
			b.source.Add([]byte("again"), 1)
			b.after(4 * time.Second)
			var flags []uint8
			for _, x := range e.batches(diode.Bulk) {
				flags = append(flags, x.Flags)
			}
			if !slices.Equal(flags, c.want) {
				b.t.Errorf("repeat %v: flags %v, want %v", c.repeat, flags, c.want)
			}
		})
	}
}
