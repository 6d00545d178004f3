package recv

import (
	"math"

	"github.com/sluice-gateway/sluice/diode"
)

// Missing says that a batch which was delivered is missing again, because the
// far side had to give it up: a copy of it is delivered late. It may be called
// from any goroutine.
func (r *Receiver) Missing(id diode.BatchID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.opened(id.Class, id.Epoch)
	if s == nil || s.holes.has(id.Seq) {
		return
	}
	if s.remnant() {
		s.next = max(s.next, id.Seq+1)
	}
	if id.Seq < s.next {
		s.holes.add(id.Seq, id.Seq)
	}
}

// opened returns the series in which something is missing. One that is over and
// forgotten comes back as a remnant, where the class is known at all.
func (r *Receiver) opened(class diode.Class, epoch [16]byte) *series {
	w := r.row(class)
	s := w.find(epoch)
	if s != nil || len(w.list) == 0 {
		return s
	}
	s = newSeries(epoch, class)
	s.contact, s.begun, s.placed, s.ended, s.guess, s.next, s.sum = true, true, true, true, false, 0, math.MaxUint64
	r.insert(w, len(w.list)-1, s)
	return w.find(epoch)
}

// remnant says that of a series that is over only holes are known: what lies
// between them was delivered.
func (s *series) remnant() bool { return s.ended && s.sum == math.MaxUint64 }
