package send_test

import (
	"syscall"
	"testing"
	"time"

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
		after(time.Second)
		b.link.Fail(syscall.ENETDOWN)
		b.source.Add([]byte("during"), 1)
		after(time.Second)
		b.link.Fail(nil)
		after(time.Second)
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
			after(500 * time.Millisecond)
			b.source.Add(make([]byte, 1<<20), 1)
			b.source.Add(make([]byte, 1<<20), 1)
			after(time.Second)
			for range 100 { // more small blocks than may hold their parity back
				b.source.Add([]byte("alarm"), 1)
				after(1500 * time.Microsecond)
			}
			after(time.Second)
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
		after(500 * time.Millisecond)
		b.source.Add([]byte("ends in the first block"), 1)
		b.source.Add(make([]byte, 400<<10), 1)
		after(time.Millisecond)
		if n := len(b.kinds(frame.KindShard)); n != 0 {
			b.t.Fatalf("%d frames left at once: nothing to test", n)
		}
		if got := b.source.SentThrough(); got != 0 {
			b.t.Errorf("sent through %d before a frame left", got)
		}
		after(time.Second)
		if got := b.source.SentThrough(); got != 2 {
			b.t.Errorf("sent through %d", got)
		}
	})
}
