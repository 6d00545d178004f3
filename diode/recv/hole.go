package recv

import "github.com/sluice-gateway/sluice/diode"

// holeBefore declares everything from what is due to below the batch missing.
func (r *Receiver) holeBefore(s *series, h held) {
	r.hole(s, h.batch.Seq, h.batch.SumBefore, diode.ReasonLink, h.neighbour())
}

// hole declares everything from what is due to below seq, before which the
// running sum is sum, missing.
func (r *Receiver) hole(s *series, seq, sum uint64, reason string, after diode.Neighbour) {
	if seq <= s.next {
		return
	}
	g := diode.Gap{
		Epoch: s.epoch, Class: s.class, First: s.next, Last: seq - 1, SumAfter: sum, Reason: reason, Before: s.last, After: after,
	}
	switch {
	case s.guess && !s.begun:
		// Only heartbeats told of it: some of the range may be of an epoch before.
		g.Reason, g.BeforeFirstContact = diode.ReasonFirstContact, true
	case sum >= s.sum && !s.unsure:
		g.Weight, g.WeightKnown = sum-s.sum, true
	}
	s.holes.add(s.next, seq-1)
	s.next, s.sum = seq, sum
	r.gap(g)
}

// behind names a batch of a series that is over, and what is missing up to it,
// when more came of it than was known: it then fills its place, and after a
// restart the position says that it came.
func (r *Receiver) behind(s *series, b diode.Batch) {
	if !s.ended || s.remnant() || b.Seq < s.next {
		return
	}
	s.begun = true
	r.hole(s, b.Seq+1, b.SumBefore+uint64(b.Weight), diode.ReasonEpochEnd, diode.Neighbour{})
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

// expireRow declares what was waited for long enough.
func (r *Receiver) expireRow(w *row) {
	for _, s := range w.list {
		switch {
		case s.ended:
		case w.isOpen(s):
			r.expireHoles(s)
		case len(s.order) > 0 && r.live.Sub(s.since) >= r.cfg.HoleAfter:
			r.endBefore(w, s)
		}
	}
	r.moveOn(w)
}

// expireHoles declares the holes of an open series that were waited for long
// enough.
func (r *Receiver) expireHoles(s *series) {
	t, ok := r.settledThrough(s)
	if ok && (t.seq >= s.next || len(s.rewrite.list) > 0) {
		if st := t.session.stream(uint8(s.class)); st != nil {
			st.settle(t.counter) // what arrived behind the hole is delivered, not declared
		}
		r.expireRewrite(s, t.seq)
	}
	if len(s.order) > 0 {
		first := s.waiting[s.order[0]]
		if r.live.Sub(s.since) >= r.cfg.HoleAfter || (ok && t.seq+1 >= first.batch.Seq) {
			r.holeBefore(s, first)
			r.drain(s)
		}
		return
	}
	if !ok || t.seq < s.next {
		return
	}
	if !s.contact {
		r.firstContact(s, t.seq+1, t.sum, diode.Neighbour{})
		return
	}
	r.hole(s, t.seq+1, t.sum, diode.ReasonLink, diode.Neighbour{})
}
