package recv

import (
	"slices"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxRows   = 2 * diode.MaxClasses // classes remembered, over changes of the configuration
	maxEpochs = 16                   // series remembered per class; each costs up to 200 KiB besides its holes
)

// row is one class: its epochs in their order. One is open at a time; those
// before it have ended, those behind it wait until it has.
//
//	ended ─ ended ─ open ─ waiting (named, or not named by a heartbeat yet)
type row struct {
	class   diode.Class
	list    []*series
	current *series // the one that heartbeats name; nil: none came yet
	namedBy uint64  // order of the session whose heartbeat did
}

func (r *Receiver) row(class diode.Class) *row {
	for _, w := range r.rows {
		if w.class == class {
			return w
		}
	}
	if len(r.rows) == maxRows {
		for _, s := range r.rows[0].list {
			r.flush(s)
		}
		r.rows = slices.Delete(r.rows, 0, 1)
	}
	w := &row{class: class}
	r.rows = append(r.rows, w)
	return w
}

func (w *row) find(epoch [16]byte) *series {
	for _, s := range w.list {
		if s.epoch == epoch {
			return s
		}
	}
	return nil
}

// before lists the series that come before s.
func (w *row) before(s *series) []*series { return w.list[:slices.Index(w.list, s)] }

// contacted says that something of the class was heard of before.
func (w *row) contacted() bool {
	return slices.ContainsFunc(w.list, func(s *series) bool { return s.contact })
}

// insert puts a new series at place i and forgets the oldest when there are too
// many.
func (r *Receiver) insert(w *row, i int, s *series) {
	w.list = slices.Insert(w.list, i, s)
	if len(w.list) > maxEpochs {
		r.flush(w.list[0])
		if w.current == w.list[0] {
			w.current = nil
		}
		w.list = slices.Delete(w.list, 0, 1)
	}
}

// place makes the epoch that a heartbeat of session x names the last of its
// class, or returns nil when x is older than the session that named another.
func (p *path) place(w *row, x *session, b *frame.Series) *series {
	if s := w.current; s != nil && s.epoch == b.Epoch.ID && !s.ended {
		w.namedBy = max(w.namedBy, x.order)
		return s
	}
	if w.current != nil && w.current.epoch != b.Epoch.ID && x.order < w.namedBy {
		return nil
	}
	s := w.find(b.Epoch.ID)
	if s == nil {
		s = newSeries(b.Epoch.ID, w.class)
	} else {
		w.list = slices.DeleteFunc(w.list, func(o *series) bool { return o == s })
	}
	if s.remnant() {
		s = newSeries(b.Epoch.ID, w.class) // the sender is back in it, and more of it is not known
	}
	w.current, w.namedBy = s, x.order
	s.start, s.startSum, s.prev, s.guess = b.Epoch.Start, b.Epoch.StartSum, b.Epoch.Prev, false
	s.said = [maxPaths]saidList{}
	s.ended, s.end, s.endKnown = false, 0, false // also when the sender is back in an epoch that had ended
	heard := w.contacted()
	p.insert(w, len(w.list), s)
	p.insertPrev(w, s, b)
	for _, old := range w.list {
		old.placed = true
	}
	if !s.contact {
		s.next, s.sum = s.start, s.startSum
		s.contact = heard // this side was there before the epoch began
	}
	for _, o := range w.list {
		p.begin(w, o)
	}
	p.log.Info("epoch", "class", w.class, "epoch", b.Epoch.ID, "start", s.start, "previous", b.Epoch.Prev, "previous_known", b.Epoch.PrevKnown)
	return s
}

// insertPrev notes where the epoch before s ended.
func (p *path) insertPrev(w *row, s *series, b *frame.Series) {
	if b.Epoch.Prev == [16]byte{} || b.Epoch.Prev == s.epoch {
		return
	}
	old := w.find(b.Epoch.Prev)
	if old == nil {
		if s.start <= 1 {
			return // it held nothing that this epoch knows of
		}
		old = newSeries(b.Epoch.Prev, w.class)
		p.insert(w, slices.Index(w.list, s), old)
	}
	old.end, old.endSum, old.endKnown = s.start, s.startSum, b.Epoch.PrevKnown
}

// seriesOf returns the series of a batch that came in session x, and makes it
// when missing. One that no heartbeat has placed waits for its place, unless x
// has told of another: then it is older than that and than the one before it.
func (r *Receiver) seriesOf(w *row, x *session, epoch [16]byte) *series {
	if s := w.find(epoch); s != nil {
		return s
	}
	s := newSeries(epoch, w.class)
	i := len(w.list)
	if w.current != nil && (x.beaten || x.order < w.namedBy) {
		i = slices.Index(w.list, w.current)
		if prev := w.find(w.current.prev); prev != nil {
			i = min(i, slices.Index(w.list, prev))
		}
		s.placed = true
		s.ended = slices.ContainsFunc(w.list[i:], func(o *series) bool { return o.begun })
	}
	r.insert(w, i, s)
	return s
}

// startBehind notes that those behind s of which no heartbeat said where they
// start, and of which nothing came, start behind batch b of s. That is certain
// only when b came in a session that named the newest: the numbers of one spool
// are of one row, those of a spool before it are not.
func (w *row) startBehind(s *series, b diode.Batch) {
	if s == w.current {
		return
	}
	for _, o := range w.list[slices.Index(w.list, s)+1:] {
		if !o.guess || o.begun || o.start > b.Seq || o.end <= b.Seq {
			continue
		}
		o.start, o.startSum = b.Seq+1, b.SumBefore+uint64(b.Weight)
		if o.next < o.start {
			o.next, o.sum = o.start, o.startSum
		}
	}
}

// isOpen says that the time of s has come: its place is known, and those
// before it have ended.
func (w *row) isOpen(s *series) bool {
	if !s.placed {
		return false
	}
	for _, old := range w.list {
		if old == s {
			return true
		}
		if !old.ended {
			return false
		}
	}
	return true
}

// moveOn ends the series whose time is over and opens those behind them.
func (r *Receiver) moveOn(w *row) {
	for i := 0; i+1 < len(w.list); i++ {
		s := w.list[i]
		if s.ended {
			continue
		}
		if !w.list[i+1].placed || !r.isOver(s) {
			return
		}
		r.endSeries(w, s)
		r.begin(w, w.list[i+1])
	}
}

// isOver says that nothing of s will come any more.
func (r *Receiver) isOver(s *series) bool {
	if s.end != 0 && s.next >= s.end {
		return true
	}
	t, ok := r.settledThrough(s)
	return ok && t.over
}

// endBefore ends what comes before s, because s has begun.
func (r *Receiver) endBefore(w *row, s *series) {
	s.placed = true
	for _, old := range w.before(s) {
		if !old.ended {
			r.endSeries(w, old)
		}
	}
	r.begin(w, s)
}

// begin opens a series with what waits of it.
func (r *Receiver) begin(w *row, s *series) {
	if len(s.order) == 0 || !w.isOpen(s) {
		return
	}
	first := s.waiting[s.order[0]].batch
	r.meet(w, s, first.Seq, first.SumBefore)
	if h, ok := s.waiting[s.settledSeq]; ok && s.settledSeq >= s.next {
		r.skipTo(s, s.settledSeq, h.batch)
	}
	r.drain(s)
}

// endSeries names what is missing at the end of a series that another epoch
// follows: exactly, when that says where this one ended; else what heartbeats
// told, and an open end.
func (r *Receiver) endSeries(w *row, s *series) {
	r.flush(s)
	r.expireRewrite(s, max(s.accepted, s.end-min(s.end, 1)))
	s.ended = true
	if !s.contact && s.accepted == 0 && s.end == 0 {
		return // nothing was ever heard of it
	}
	if !s.contact && s.end != 0 {
		r.meet(w, s, s.end, s.endSum)
	}
	s.contact = true
	if s.end != 0 {
		r.hole(s, s.end, s.endSum, diode.ReasonEpochEnd, diode.Neighbour{})
	}
	if s.end != 0 && s.endKnown {
		return
	}
	if s.accepted >= s.next {
		r.hole(s, s.accepted+1, s.acceptedSum, diode.ReasonEpochEnd, diode.Neighbour{})
	}
	r.gap(diode.Gap{Epoch: s.epoch, Class: s.class, First: s.next, Reason: diode.ReasonEpochEnd, Before: s.last})
}

// loadPositions makes the series that are durable on the far side. Of several
// epochs of one class only the last has not ended.
func (r *Receiver) loadPositions(positions []diode.Position, open []diode.Gap) {
	for _, p := range positions {
		w := r.row(p.Class)
		for _, old := range w.list {
			old.ended = true
		}
		s := w.find(p.Epoch)
		if s == nil {
			s = newSeries(p.Epoch, p.Class)
			r.insert(w, len(w.list), s)
		}
		s.contact, s.begun, s.placed, s.ended, s.guess = true, true, true, false, false
		s.next, s.sum = p.Seq+1, p.SumAfter
	}
	for _, g := range open {
		s := r.opened(g.Class, g.Epoch)
		if s == nil || g.First == 0 {
			continue
		}
		if s.remnant() {
			s.next = max(s.next, g.First, g.Last+1)
		}
		if g.First <= g.Last && g.Last < s.next {
			s.holes.add(g.First, g.Last)
		}
	}
}
