package recv

import (
	"slices"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// maxSeries bounds the series remembered: of all classes, a few epochs.
const maxSeries = 4 * diode.MaxClasses

// arrived takes a batch from the block stream of a session.
func (r *Receiver) arrived(x *session, class diode.Class, a arrival) {
	h := held{
		batch: diode.Batch{
			BatchID:   diode.BatchID{Epoch: x.origin.Epoch, Class: class, Seq: a.head.Seq},
			Weight:    a.head.Weight,
			SumBefore: a.head.SumBefore,
			Data:      a.data,
		},
		digest:  a.head.Digest,
		settled: a.head.Flags&frame.FlagCopiesFollow == 0,
	}
	r.order(r.seriesOf(x.origin.Epoch, class), h)
}

// order decides what becomes of a batch.
func (r *Receiver) order(s *series, h held) {
	b := h.batch
	if !s.contact {
		r.firstContact(s, b.Seq, b.SumBefore)
		if s.ended {
			r.endSeries(s, r.current)
		}
	}
	switch {
	case b.Seq < s.next || s.ended:
		r.past(s, h)
	case b.Seq == s.next:
		r.inOrder(s, h)
		r.drain(s)
	default:
		r.ahead(s, h)
	}
}

// firstContact takes the first that is heard of a series as its position and
// names what came before.
func (r *Receiver) firstContact(s *series, seq, sumBefore uint64) {
	s.contact = true
	if seq <= 1 {
		return
	}
	s.next, s.sum = seq, sumBefore
	s.holes.add(1, seq-1)
	r.gap(diode.Gap{
		Epoch: s.epoch, Class: s.class, First: 1, Last: seq - 1, Weight: sumBefore, WeightKnown: true,
		Reason: diode.ReasonFirstContact, BeforeFirstContact: true,
	})
}

// past decides on a batch whose place in the order is over.
func (r *Receiver) past(s *series, h held) {
	if s.holes.has(h.batch.Seq) {
		if r.late(s, h) {
			s.holes.fill(h.batch.Seq)
		}
		return
	}
	same, other := s.known(h)
	if s.ended && h.batch.Seq >= s.next {
		same, other = s.beyondEnd(h)
	}
	if same {
		r.stats.Duplicates++
		r.buffers.put(h.batch.Data)
		return
	}
	if other {
		r.conflict(h, "a known sequence with other content")
	}
	r.late(s, h)
}

// beyondEnd is known for a batch behind the end of a series that another epoch
// followed: it is new unless it is remembered.
func (s *series) beyondEnd(h held) (same, other bool) {
	if s.recent == nil || s.recent[h.batch.Seq%recentBatches].seq != h.batch.Seq {
		return false, false
	}
	return s.known(h)
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
	if b.SumBefore != s.sum {
		r.conflict(h, "a running sum that does not add up")
	}
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
	s.next, s.sum = b.Seq+1, b.SumBefore+uint64(b.Weight)
	s.holes.add(b.Seq, b.Seq)
	r.gap(diode.Gap{
		Epoch: s.epoch, Class: s.class, First: b.Seq, Last: b.Seq, Weight: uint64(b.Weight), WeightKnown: true,
		Reason: diode.ReasonOverload,
	})
}

// ahead keeps a batch that came before others that are due.
func (r *Receiver) ahead(s *series, h held) {
	seq := h.batch.Seq
	if old, ok := s.waiting[seq]; ok {
		if old.digest == h.digest && old.batch.SumBefore == h.batch.SumBefore {
			r.stats.Duplicates++
			r.buffers.put(h.batch.Data)
			return
		}
		r.conflict(h, "one sequence with two contents")
		r.late(s, h)
		return
	}
	if !r.memory.reserve(batchCost(h.batch.Data)) {
		r.skipTo(s, seq, h.batch.SumBefore)
		r.overload(s, h)
		return
	}
	s.wait(h, r.live)
	if h.settled {
		r.skipTo(s, seq, h.batch.SumBefore)
		r.drain(s)
	}
}

// drain delivers what waits and has become due.
func (r *Receiver) drain(s *series) {
	for len(s.order) > 0 && s.order[0] <= s.next {
		r.deliver(s, s.take())
	}
	if len(s.order) > 0 {
		s.since = r.live
	}
}

// skipTo delivers what waits below seq, declares the holes between, and makes
// seq, before which the running sum is sum, the next that is due.
func (r *Receiver) skipTo(s *series, seq, sum uint64) {
	for len(s.order) > 0 && s.order[0] < seq {
		h := s.take()
		r.hole(s, h.batch.Seq, h.batch.SumBefore, diode.ReasonLink)
		r.deliver(s, h)
	}
	r.hole(s, seq, sum, diode.ReasonLink)
}

// hole declares everything from what is due to below seq missing.
func (r *Receiver) hole(s *series, seq, sum uint64, reason string) {
	if seq <= s.next {
		return
	}
	g := diode.Gap{Epoch: s.epoch, Class: s.class, First: s.next, Last: seq - 1, Reason: reason}
	if sum >= s.sum {
		g.Weight, g.WeightKnown = sum-s.sum, true
	}
	s.holes.add(s.next, seq-1)
	s.next, s.sum = seq, sum
	r.gap(g)
}

func (r *Receiver) gap(g diode.Gap) {
	g.DeclaredAt = r.now
	r.stats.Gaps++
	if g.WeightKnown {
		r.stats.GapWeight += g.Weight
	} else {
		r.stats.GapUnknown++
	}
	r.queue.gap(g)
}

// expireHoles declares the holes that were waited for long enough.
func (r *Receiver) expireHoles(s *series) {
	if s.ended {
		return
	}
	if len(s.order) > 0 {
		first := s.waiting[s.order[0]].batch
		if r.live.Sub(s.since) >= r.cfg.HoleAfter || r.settledBelow(s, first.Seq) {
			r.hole(s, first.Seq, first.SumBefore, diode.ReasonLink)
			r.drain(s)
		}
		return
	}
	if s.through < s.next || !r.throughSettled(s) {
		return
	}
	if st := s.throughSession.stream(uint8(s.class)); st != nil {
		st.settle(s.throughCounter) // what arrived behind the hole is delivered, not declared
		if s.through < s.next || len(s.order) > 0 {
			return
		}
	}
	if !s.contact {
		r.firstContact(s, s.through+1, s.throughSum)
		return
	}
	r.hole(s, s.through+1, s.throughSum, diode.ReasonLink)
}

// settledBelow says that every copy of everything below seq has left and had
// time to arrive.
func (r *Receiver) settledBelow(s *series, seq uint64) bool {
	return s.through+1 >= seq && r.throughSettled(s)
}

// throughSettled says that all frames before the heartbeat that stated
// sent-through can no longer come.
func (r *Receiver) throughSettled(s *series) bool {
	age := r.live.Sub(s.throughAt)
	if age >= r.cfg.HoleAfter {
		return true
	}
	passed := s.throughSession != nil && s.throughSession.window.Top() > s.throughCounter+reorder
	return passed && age >= spreadWait
}

// seriesOf returns the series of an epoch and class and makes it when missing.
func (r *Receiver) seriesOf(epoch [16]byte, class diode.Class) *series {
	for _, s := range r.series {
		if s.epoch == epoch && s.class == class {
			return s
		}
	}
	if len(r.series) >= maxSeries {
		r.forgetSeries()
	}
	s := newSeries(epoch, class)
	s.ended = r.current.Epoch != [16]byte{} && r.current.Epoch != epoch
	r.series = append(r.series, s)
	return s
}

// forgetSeries drops the oldest series that has ended, or else the oldest.
func (r *Receiver) forgetSeries() {
	drop := max(slices.IndexFunc(r.series, func(s *series) bool { return s.ended }), 0)
	r.flush(r.series[drop])
	r.series = slices.Delete(r.series, drop, drop+1)
}

// flush delivers all that waits and declares the holes between.
func (r *Receiver) flush(s *series) {
	for len(s.order) > 0 {
		h := s.take()
		r.hole(s, h.batch.Seq, h.batch.SumBefore, diode.ReasonLink)
		r.deliver(s, h)
	}
}
