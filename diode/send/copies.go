package send

import (
	"maps"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	rewindAge   = 2 * time.Second // what may be between kernel and wire, or lost with the carrier (design)
	rewindBytes = 64 << 20        // bytes; the same at high rates (design)
	maxPending  = 1 << 20         // repeats that wait, 40 bytes each
)

// copyKind says why a batch is on the wire.
type copyKind uint8

const (
	first    copyKind = iota // for the first time
	repeated                 // as configured
	again                    // after an error
	resent                   // because an operator asked for it
)

func (k copyKind) flags() uint8 {
	switch k {
	case repeated, again:
		return frame.FlagRepeat
	case resent:
		return frame.FlagResend
	default:
		return 0
	}
}

// copies knows which batches of a class must be sent again: those configured
// to be repeated, and those sent shortly before an error.
type copies struct {
	delays  []time.Duration
	queues  []fifo[repeat]    // one per delay, in order of time
	back    fifo[setBack]     // in order of sequence
	written fifo[recentBatch] // of which some frame has not left yet
	recent  fifo[recentBatch] // of which all have, not long ago
	bytes   int               // in recent
}

type repeat struct {
	seq, sum uint64 // sum: running sum after the batch
	at       time.Time
}

// setBack is a batch that must go out again after an error.
type setBack struct {
	seq, sum uint64
	final    bool // no other copy of it will follow: its end counts for Sent
}

type recentBatch struct {
	seq    uint64
	before uint64 // running sum before the batch …
	sum    uint64 // … and after it
	bytes  int
	end    uint64    // it has left once all blocks below have
	at     time.Time // when it had left
	resent bool
}

func newCopies(delays []time.Duration) copies {
	return copies{delays: delays, queues: make([]fifo[repeat], len(delays))}
}

func (c *copies) repeats() bool { return len(c.delays) > 0 }

// goesBack says that what an error has set back has not been asked for yet.
func (c *copies) goesBack() bool { return c.back.len() > 0 }

// full says that no new batch may begin until repeats have left.
func (c *copies) full() bool {
	return len(c.queues) > 0 && c.queues[len(c.queues)-1].len() >= maxPending
}

// sent notes that a batch goes out for the first time.
func (c *copies) sent(b diode.Batch, now time.Time) {
	for i, d := range c.delays {
		c.queues[i].push(repeat{seq: b.Seq, sum: b.SumBefore + uint64(b.Weight), at: now.Add(d)})
	}
}

// settle remembers when batches had left: those whose blocks are all below
// unfinished.
func (c *copies) settle(unfinished uint64, now time.Time) {
	for c.written.len() > 0 && c.written.front().end <= unfinished {
		r := c.written.pop()
		r.at = now
		c.recent.push(r)
		c.bytes += r.bytes
	}
	for c.recent.len() > 0 && (c.bytes > rewindBytes || now.Sub(c.recent.front().at) > rewindAge) {
		c.bytes -= c.recent.pop().bytes
	}
}

// rewind queues again, in order, what was sent shortly before since, what was
// to be sent again already, and what was under way. It returns the batches
// among them that an operator had asked for. What p counts as sent goes back
// with them: until they have left again, nobody may conclude that they are lost.
func (c *copies) rewind(since time.Time, underway []setBack, p *progress) (asked []uint64) {
	all := make(map[uint64]setBack)
	sent := p.sent
	add := func(r recentBatch) {
		if r.resent {
			asked = append(asked, r.seq)
			return
		}
		all[r.seq] = setBack{seq: r.seq, sum: r.sum, final: r.seq <= sent}
		p.goBack(r.seq, r.before)
	}
	for i := c.recent.head; i < len(c.recent.items); i++ {
		if r := c.recent.items[i]; since.Sub(r.at) <= rewindAge {
			add(r)
		}
	}
	for c.written.len() > 0 {
		add(c.written.pop())
	}
	for c.back.len() > 0 {
		r := c.back.pop()
		all[r.seq] = r
	}
	for _, r := range underway {
		r.final = r.final || all[r.seq].final
		all[r.seq] = r
	}
	for _, seq := range slices.Sorted(maps.Keys(all)) {
		c.back.push(all[seq])
	}
	return asked
}

// take returns the next copy that is due, those after an error first.
func (c *copies) take(now time.Time) (ask, bool) {
	if c.back.len() > 0 {
		r := c.back.pop()
		return ask{kind: again, seq: r.seq, sum: r.sum, final: r.final}, true
	}
	for i := len(c.queues) - 1; i >= 0; i-- {
		if c.queues[i].len() > 0 && !now.Before(c.queues[i].front().at) {
			r := c.queues[i].pop()
			return ask{kind: repeated, seq: r.seq, sum: r.sum, final: i == len(c.queues)-1}, true
		}
	}
	return ask{}, false
}

func (c *copies) deadline(d time.Time) time.Time {
	for i := range c.queues {
		if c.queues[i].len() > 0 {
			d = earlier(d, c.queues[i].front().at)
		}
	}
	return d
}
