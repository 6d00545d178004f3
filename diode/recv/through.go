package recv

import (
	"slices"
	"time"
)

// maxSaid bounds how many statements of one path wait to settle: one a second
// for half a minute. Of more, the newer ones wait longer.
const maxSaid = 32

// through is what a heartbeat stated: every copy of everything up to seq left
// before it.
type through struct {
	seq, sum uint64
	over     bool // and nothing more of this epoch follows
	at       time.Time
	counter  uint64 // of the heartbeat …
	session  *session
}

// saidList are the statements of one path, rising.
type saidList struct{ list []through }

func (l *saidList) add(t through) {
	if n := len(l.list); n > 0 {
		last := l.list[n-1]
		if last.over || (t.seq <= last.seq && !t.over) {
			return
		}
		if t.seq < last.seq {
			t.seq, t.sum = last.seq, last.sum
		}
	}
	if len(l.list) == maxSaid {
		l.list = l.list[:maxSaid-1]
	}
	l.list = append(l.list, t)
}

// settled returns the newest statement that ok holds for, and forgets those
// before it.
func (l *saidList) settled(ok func(*through) bool) (through, bool) {
	for i, t := range slices.Backward(l.list) {
		if ok(&t) {
			l.list = slices.Delete(l.list, 0, i)
			return t, true
		}
	}
	return through{}, false
}

// settledThrough says up to where no frame can come any more: where every path
// that is not silent says so and it had time to arrive; or where one path said
// so, long enough ago.
func (r *Receiver) settledThrough(s *series) (through, bool) {
	var most, least through
	patient, all := false, true
	for _, p := range r.paths {
		if t, ok := s.said[p.index].settled(r.patience); ok && (!patient || t.seq > most.seq) {
			most, patient = t, true
		}
		if p.state(r.now) != StateUp {
			continue
		}
		t, ok := s.said[p.index].settled(r.arrivedBy)
		all = all && ok
		if ok && (least.session == nil || t.seq < least.seq) {
			least = t
		}
	}
	if all && least.session != nil && (!patient || least.seq > most.seq) {
		return least, true
	}
	return most, patient
}

func (r *Receiver) patience(t *through) bool { return r.live.Sub(t.at) >= r.cfg.HoleAfter }

// arrivedBy says that thousands of frames have passed since, or patience ended.
func (r *Receiver) arrivedBy(t *through) bool {
	passed := t.session.window.Top() > t.counter+reorder && r.live.Sub(t.at) >= spreadWait
	return passed || r.patience(t)
}
