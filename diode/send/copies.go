package send

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

const (
	rewindAge   = 2 * time.Second // what may be between kernel and wire, or lost with the carrier (design)
	rewindBytes = 64 << 20        // bytes; the same at high rates (design)
	maxPending  = 1 << 20         // repeats that wait, 40 bytes each
)

// copies knows which batches of a class must be sent again: those configured
// to be repeated, and those sent shortly before an error.
type copies struct {
	delays []time.Duration
	queues []fifo[repeat] // one per delay, in order of time
	resend fifo[resend]   // in order of sequence
	recent fifo[recentBatch]
	bytes  int // in recent
	buf    []byte
}

type repeat struct {
	seq, sum uint64 // sum: running sum after the batch
	at       time.Time
}

// resend is a batch that must go out again after an error.
type resend struct {
	seq, sum uint64
	final    bool // no other copy of it will follow: its end counts for Sent
}

type recentBatch struct {
	seq   uint64
	bytes int
	at    time.Time
}

func newCopies(delays []time.Duration) copies {
	return copies{delays: delays, queues: make([]fifo[repeat], len(delays)), buf: make([]byte, diode.MaxBatchBytes)}
}

func (c *copies) repeats() bool { return len(c.delays) > 0 }

// full says that no new batch may begin until repeats have left.
func (c *copies) full() bool {
	return len(c.queues) > 0 && c.queues[len(c.queues)-1].len() >= maxPending
}

// sent notes that a batch goes out for the first time.
func (c *copies) sent(b diode.Batch, now time.Time) {
	for i, d := range c.delays {
		c.queues[i].push(repeat{seq: b.Seq, sum: b.SumBefore + uint64(b.Weight), at: now.Add(d)})
	}
	c.note(b, now)
}

// note remembers that a batch goes out, for the first time or again.
func (c *copies) note(b diode.Batch, now time.Time) {
	c.recent.push(recentBatch{seq: b.Seq, bytes: len(b.Data), at: now})
	c.bytes += len(b.Data)
	for c.bytes > rewindBytes || now.Sub(c.recent.front().at) > rewindAge {
		c.bytes -= c.recent.pop().bytes
	}
}

// rewind queues again, in order, what was sent shortly before since, what was
// to be sent again already, and the batches in unfinished.
func (c *copies) rewind(since time.Time, unfinished []resend) {
	all := make(map[uint64]resend)
	for i := c.recent.head; i < len(c.recent.items); i++ {
		if r := c.recent.items[i]; since.Sub(r.at) <= rewindAge {
			all[r.seq] = resend{seq: r.seq}
		}
	}
	for c.resend.len() > 0 {
		r := c.resend.pop()
		all[r.seq] = r
	}
	for _, r := range unfinished {
		r.final = r.final || all[r.seq].final
		all[r.seq] = r
	}
	for _, seq := range slices.Sorted(maps.Keys(all)) {
		c.resend.push(all[seq])
	}
}

func (c *copies) due(now time.Time) bool {
	if c.resend.len() > 0 {
		return true
	}
	for i := range c.queues {
		if c.queues[i].len() > 0 && !now.Before(c.queues[i].front().at) {
			return true
		}
	}
	return false
}

// take returns the next due batch and whether this is its last copy. Something
// is due.
func (c *copies) take(now time.Time) (r repeat, final bool) {
	if c.resend.len() > 0 {
		r := c.resend.pop()
		return repeat{seq: r.seq, sum: r.sum}, r.final
	}
	for i := len(c.queues) - 1; i >= 0; i-- {
		if c.queues[i].len() > 0 && !now.Before(c.queues[i].front().at) {
			return c.queues[i].pop(), i == len(c.queues)-1
		}
	}
	return repeat{}, false
}

func (c *copies) deadline(d time.Time) time.Time {
	for i := range c.queues {
		if c.queues[i].len() > 0 {
			d = earlier(d, c.queues[i].front().at)
		}
	}
	return d
}
