package recv

import (
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// arrived takes a batch from the block stream of a session.
func (r *Receiver) arrived(x *session, class diode.Class, a arrival) {
	h := held{
		batch: diode.Batch{
			BatchID:   diode.BatchID{Epoch: a.head.Epoch, Class: class, Seq: a.head.Seq},
			Weight:    a.head.Weight,
			SumBefore: a.head.SumBefore,
			Data:      a.data,
			Resent:    a.head.Flags&frame.FlagResend != 0,
			Arrived:   r.now,
		},
		digest:  a.head.Digest,
		settled: a.head.Flags&(frame.FlagCopiesFollow|frame.FlagResend) == 0,
	}
	if a.head.Time != 0 {
		h.batch.Time = time.Unix(0, a.head.Time)
	}
	w := r.row(class)
	s := r.seriesOf(w, x, a.head.Epoch)
	if w.current != nil && x.named[class] == w.current.epoch {
		w.startBehind(s, h.batch)
	}
	r.order(w, s, h)
}

// order decides what becomes of a batch.
func (r *Receiver) order(w *row, s *series, h held) {
	b := h.batch
	s.rewrite.fill(b.Seq)
	switch {
	case s.ended:
		r.meetEnded(w, s, b)
		r.past(s, h)
		return
	case !w.isOpen(s):
		r.early(w, s, h)
		return
	}
	r.meet(w, s, b.Seq, b.SumBefore)
	switch {
	case b.Seq < s.next:
		r.past(s, h)
	case b.Seq == s.next:
		r.inOrder(s, h)
		r.drain(s)
		r.moveOn(w)
	default:
		r.ahead(s, h)
	}
}

// early keeps a batch of a series whose time has not come: no heartbeat has
// named its epoch yet, or the one before may go on.
func (r *Receiver) early(w *row, s *series, h held) {
	if s.contact && h.batch.Seq < s.next {
		r.past(s, h)
		return
	}
	if r.twice(s, h) {
		return
	}
	if !r.memory.reserve(batchCost(h.batch.Data)) {
		r.endBefore(w, s)
		r.order(w, s, h)
		return
	}
	s.wait(h, r.live)
	if h.settled && s.placed {
		r.endBefore(w, s)
	}
}

// meet is called before the first batch of an open series has its place.
func (r *Receiver) meet(w *row, s *series, seq, sumBefore uint64) {
	if s.contact {
		return
	}
	if before := w.before(s); s.guess && seq > 1 && len(before) > 0 {
		if old := before[len(before)-1]; old.contact && old.next == seq && old.sum == sumBefore {
			s.contact, s.start, s.next, s.sum = true, seq, seq, sumBefore // it goes on where the one before ended
			return
		}
	}
	r.firstContact(s, seq, sumBefore, diode.Neighbour{})
}

// meetEnded does the same for a series that is heard of only now that it is
// over.
func (r *Receiver) meetEnded(w *row, s *series, b diode.Batch) {
	if s.contact {
		return
	}
	r.firstContact(s, b.Seq, b.SumBefore, diode.Neighbour{})
	r.behind(s, b)
	r.endSeries(w, s)
}

// firstContact takes the first that is heard of a series as its position and
// names what came before.
func (r *Receiver) firstContact(s *series, seq, sumBefore uint64, after diode.Neighbour) {
	known := sumBefore >= s.startSum && (!s.guess || !r.row(s.class).contacted())
	s.contact = true
	if seq <= s.start {
		s.next, s.sum = min(s.start, seq), s.startSum
		return
	}
	s.next, s.sum = seq, sumBefore
	s.holes.add(s.start, seq-1)
	g := diode.Gap{
		Epoch: s.epoch, Class: s.class, First: s.start, Last: seq - 1, WeightKnown: known, SumAfter: sumBefore,
		Reason: diode.ReasonFirstContact, BeforeFirstContact: true, After: after,
	}
	if known {
		g.Weight = sumBefore - s.startSum
	}
	r.gap(g)
}

// past decides on a batch whose place in the order is over.
func (r *Receiver) past(s *series, h held) {
	r.behind(s, h.batch)
	if s.holes.has(h.batch.Seq) {
		if r.late(s, h) {
			s.holes.fill(h.batch.Seq)
		}
		return
	}
	same, other := s.known(h)
	if same {
		r.duplicate(h)
		return
	}
	if other {
		r.conflict(h, "a known sequence with other content")
	}
	r.late(s, h)
}

func (r *Receiver) duplicate(h held) {
	r.stats.Duplicates++
	r.buffers.put(h.batch.Data)
}

func (r *Receiver) conflict(h held, what string) {
	if r.stats.Conflicts == 0 {
		r.log.Error("the sender contradicts what it sent before; delivered, not dropped", "batch", h.batch.String(), "what", what)
	}
	r.stats.Conflicts++
}

// late delivers a batch outside the order. Without memory for it, it stays
// what it was: missing.
func (r *Receiver) late(s *series, h held) bool {
	if !r.memory.reserve(batchCost(h.batch.Data)) {
		r.stats.Overload++
		r.buffers.put(h.batch.Data)
		return false
	}
	s.remember(h)
	h.batch.Late = true
	r.stats.Late++
	if h.batch.Resent {
		r.stats.Resent++
	}
	r.stats.Bytes += uint64(len(h.batch.Data))
	r.queue.batch(h.batch)
	return true
}

// inOrder delivers the batch that is due, or drops it when memory is full.
func (r *Receiver) inOrder(s *series, h held) {
	if !r.memory.reserve(batchCost(h.batch.Data)) {
		r.overload(s, h)
		return
	}
	r.deliver(s, h)
}

// deliver queues a batch that is due and whose memory is reserved.
func (r *Receiver) deliver(s *series, h held) {
	b := h.batch
	if b.SumBefore != s.sum && !s.unsure {
		r.conflict(h, "a running sum that does not add up")
	}
	s.begun, s.unsure, s.last = true, false, h.neighbour()
	s.next, s.sum = b.Seq+1, b.SumBefore+uint64(b.Weight)
	s.remember(h)
	r.stats.Batches++
	r.stats.Bytes += uint64(len(b.Data))
	r.queue.batch(b)
}

// overload drops a batch that is due, whole, and names it: a copy may still
// fill the gap.
func (r *Receiver) overload(s *series, h held) {
	b := h.batch
	r.buffers.put(b.Data)
	r.stats.Overload++
	s.begun = true
	s.next, s.sum = b.Seq+1, b.SumBefore+uint64(b.Weight)
	s.holes.add(b.Seq, b.Seq)
	r.gap(diode.Gap{
		Epoch: s.epoch, Class: s.class, First: b.Seq, Last: b.Seq, Weight: uint64(b.Weight), WeightKnown: true, SumAfter: s.sum,
		Reason: diode.ReasonOverload, Before: s.last,
	})
}

// twice says whether the batch waits already, and deals with it if so.
func (r *Receiver) twice(s *series, h held) bool {
	old, ok := s.waiting[h.batch.Seq]
	if !ok {
		return false
	}
	if old.digest == h.digest && old.batch.SumBefore == h.batch.SumBefore {
		r.duplicate(h)
		return true
	}
	r.conflict(h, "one sequence with two contents")
	r.late(s, h)
	return true
}

// ahead keeps a batch that came before others that are due.
func (r *Receiver) ahead(s *series, h held) {
	if r.twice(s, h) {
		return
	}
	if !r.memory.reserve(batchCost(h.batch.Data)) {
		r.skipTo(s, h.batch.Seq, h.batch)
		r.overload(s, h)
		return
	}
	s.wait(h, r.live)
	if h.settled {
		r.skipTo(s, h.batch.Seq, h.batch)
		r.drain(s)
	}
}

// drain delivers what waits and has become due.
func (r *Receiver) drain(s *series) {
	for len(s.order) > 0 && s.order[0] <= s.next {
		h := s.take()
		if h.batch.Seq == s.next {
			r.deliver(s, h)
			continue
		}
		r.memory.release(batchCost(h.batch.Data))
		r.past(s, h)
	}
	if len(s.order) > 0 {
		s.since = r.live
	}
}

// skipTo delivers what waits below seq, declares the holes between, and makes
// seq, the number of batch b, the next that is due.
func (r *Receiver) skipTo(s *series, seq uint64, b diode.Batch) {
	for len(s.order) > 0 && s.order[0] < seq {
		h := s.take()
		r.holeBefore(s, h)
		r.deliver(s, h)
	}
	r.holeBefore(s, held{batch: b})
}

// flush delivers all that waits and declares the holes between.
func (r *Receiver) flush(s *series) {
	if len(s.order) > 0 && !s.contact {
		first := s.waiting[s.order[0]]
		r.firstContact(s, first.batch.Seq, first.batch.SumBefore, first.neighbour())
	}
	for len(s.order) > 0 {
		h := s.take()
		r.holeBefore(s, h)
		r.deliver(s, h)
	}
}
