package recv

import (
	"time"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	ringBlocks = 1024 // blocks of one class under way; 4096 frames of the smallest blocks (1+4)
	reorder    = 4096 // frames that may overtake another (design)
	// spreadWait is how long a block with spread parity is waited for although
	// the frame counter has passed: its parity ends 50 ms after its data.
	spreadWait = 100 * time.Millisecond
	// quietWait is how long the sender must have been heard without a word of
	// an incomplete block: well above the spread of parity and the
	// interleaver's hold.
	quietWait = 300 * time.Millisecond
	// silentWait gives a block up when nothing at all comes any more: a sender
	// that stood still (a suspended machine) goes on in the middle of it.
	silentWait = 10 * time.Minute
	// joinWithin: a receiver that first hears a session at one of its first
	// blocks waits for block 0; it was there from the start.
	joinWithin = 64
)

// stream puts the blocks of one class of one session back together, in the
// order of their numbers.
type stream struct {
	rx      *Receiver
	frames  *Frames // of the path
	session *session
	class   uint8
	started bool
	next    uint64 // block that the parser waits for
	end     uint64 // one above the highest block under way
	ring    [ringBlocks]*block
	count   int // blocks in ring
	parser  parser
	emit    func(arrival)
}

// unwanted says, before anything is opened, that a shard would change
// nothing. The header is not authenticated yet, so this only looks.
func (st *stream) unwanted(h *frame.Header) bool {
	if !st.started {
		return false
	}
	if h.Block < st.next {
		return true
	}
	if h.Block >= st.next+ringBlocks {
		return false
	}
	b := st.ring[h.Block%ringBlocks]
	return b != nil && (b.shards[h.Index] != nil || (b.closed() && b.have >= b.k))
}

// put takes an opened shard and keeps it, or returns false.
func (st *stream) put(h *frame.Header, shard []byte, now time.Time) bool {
	if !st.started {
		st.started = true
		if h.Block >= joinWithin {
			st.next = h.Block
		}
		st.end = st.next
	}
	if h.Block < st.next {
		return false
	}
	if h.Block >= st.next+ringBlocks {
		st.makeRoom(h.Block)
	}
	slot := &st.ring[h.Block%ringBlocks]
	fresh := *slot == nil
	if fresh {
		*slot = st.rx.takeBlock()
		st.count++
		st.end = max(st.end, h.Block+1)
	}
	b := *slot
	if !b.fits(h) || b.shards[h.Index] != nil {
		st.frames.BadShape++
		if fresh {
			st.drop(h.Block)
		}
		return false
	}
	b.put(h, shard, now)
	st.advance()
	return true
}

// makeRoom gives blocks up so that number fits the ring.
func (st *stream) makeRoom(number uint64) {
	for st.count > 0 && number >= st.next+ringBlocks {
		st.giveUp()
	}
	if number >= st.next+ringBlocks {
		st.parser.lose()
		st.next = number
	}
}

// advance feeds the parser as far as there are shards in order.
func (st *stream) advance() {
	if st.session.waits(st.rx.live) {
		return
	}
	for st.count > 0 {
		b := st.ring[st.next%ringBlocks]
		if b == nil {
			return
		}
		st.feed(b)
		if b.complete() {
			st.rx.stats.Blocks++
			st.drop(st.next)
			st.next++
			continue
		}
		if !b.repairable() {
			return
		}
		if err := b.repair(st.rx.codec, &st.rx.pool); err != nil {
			st.giveUp()
			continue
		}
		st.rx.stats.BlocksRepaired++
	}
}

func (st *stream) feed(b *block) {
	limit := fec.MaxShards
	if b.closed() {
		limit = b.k
	}
	for b.fed < limit && b.shards[b.fed] != nil {
		st.parser.shard(b.shards[b.fed], b.fed, b.starts[b.fed], st.emit)
		b.fed++
	}
}

// giveUp takes what can still be had from the block that is waited for and
// goes on behind it. When nothing of it arrived, it goes on at the next block
// of which something did.
func (st *stream) giveUp() {
	b := st.ring[st.next%ringBlocks]
	st.rx.stats.BlocksFailed++
	if b == nil {
		st.parser.lose()
		for st.next < st.end && st.ring[st.next%ringBlocks] == nil {
			st.next++
		}
		return
	}
	limit := b.high
	if b.closed() {
		limit = b.k
	}
	for i := b.fed; i < limit; i++ {
		if b.shards[i] == nil {
			st.parser.lose()
			continue
		}
		st.parser.shard(b.shards[i], i, b.starts[i], st.emit)
	}
	if !b.closed() {
		st.parser.lose()
	}
	st.drop(st.next)
	st.next++
}

// heard is what is known of the sender of a session besides its blocks.
type heard struct {
	top        uint64    // newest frame counter
	at         time.Time // when it came
	superseded time.Time // when a later session was first used; zero: it was not
}

// silence tells a block that lost its frames from a sender that stands still:
// only what the sender sends behind the block lets time pass.
type silence struct {
	first  time.Time // when something newer than the block was first seen
	second time.Time // when something came quietWait after that
}

// expire gives up what is waited for in vain.
func (st *stream) expire(x heard, now time.Time) {
	for st.count > 0 && st.overdue(x, now) {
		st.giveUp()
		st.advance()
	}
}

// settle gives up everything of which no frame can come any more, because the
// sender said so in the frame with this counter, long enough ago.
func (st *stream) settle(counter uint64) {
	for st.count > 0 {
		if b, last, _ := st.front(); b == nil || last >= counter {
			return
		}
		st.giveUp()
		st.advance()
	}
}

// front is the block that decides how long is waited: the one that is due, or
// behind a gap the next, with counter and time of what came of it.
func (st *stream) front() (b *block, counter uint64, at time.Time) {
	if b := st.ring[st.next%ringBlocks]; b != nil {
		return b, b.last, b.lastAt
	}
	b = st.following()
	return b, b.first, b.firstAt
}

func (st *stream) overdue(x heard, now time.Time) bool {
	b, counter, at := st.front()
	quiet := now.Sub(at)
	if !x.superseded.IsZero() {
		return quiet >= quietWait && now.Sub(x.superseded) >= quietWait
	}
	if x.top > counter+reorder && (quiet >= spreadWait || (b.closed() && !b.spread)) {
		return true
	}
	return b.silence.over(x, counter, now) || quiet >= silentWait && now.Sub(x.at) >= silentWait
}

// over says whether the sender was heard twice, quietWait apart, without a
// frame of the block: twice, because a sender that stood still begins with a
// heartbeat before it goes on with the block.
func (s *silence) over(x heard, counter uint64, now time.Time) bool {
	if x.top <= counter {
		return false
	}
	if s.first.IsZero() {
		s.first = now
	}
	if s.second.IsZero() && x.at.Sub(s.first) >= quietWait {
		s.second = now
	}
	return !s.second.IsZero() && now.Sub(s.second) >= spreadWait
}

// following is the first block behind the gap at the front; there is one.
func (st *stream) following() *block {
	for n := st.next; ; n++ {
		if b := st.ring[n%ringBlocks]; b != nil {
			return b
		}
	}
}

// close gives up everything: the session has ended.
func (st *stream) close() {
	for st.count > 0 {
		st.giveUp()
		st.advance()
	}
	st.parser.lose()
}

func (st *stream) drop(number uint64) {
	slot := &st.ring[number%ringBlocks]
	st.rx.giveBlock(*slot)
	*slot = nil
	st.count--
}
