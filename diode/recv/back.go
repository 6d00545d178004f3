package recv

import (
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// backCheck: heartbeats of a session may have been on their way for so long
// while another path was faster. Only then is it certain that the spool went
// back.
const backCheck = 500 * time.Millisecond

// watchBack notices a sender whose spool went back inside one epoch (a backup
// was restored, a virtual machine rolled back): a later session has accepted
// less than what is delivered here. It will give known sequences to other
// batches, which must not be taken for duplicates.
func (p *path) watchBack(s *series, x *session, b *frame.Series) {
	had, ok := x.standing[s]
	if !ok || b.Accepted >= had || s.rewritten >= x.order {
		return
	}
	s.back = true
	if len(p.paths) > 1 && p.live.Sub(x.usedAt) < backCheck {
		return
	}
	s.rewritten, s.unsure = x.order, true
	p.stats.SpoolWentBack++
	p.log.Error("the sender's spool went back: what it gives known numbers from now on is delivered outside the order, some of it possibly twice",
		"class", s.class, "accepted", b.Accepted, "delivered", had, "remedy", "give the near spool a new epoch")
	for i := range s.said {
		s.said[i] = saidList{}
	}
	s.rewrite.cover(b.Accepted+1, had) // beside what an earlier session gave known numbers to and what has not come yet
}

// expireRewrite names what a sender that went back sent under known numbers and
// what never arrived, up to through.
func (r *Receiver) expireRewrite(s *series, through uint64) {
	for len(s.rewrite.list) > 0 && s.rewrite.list[0].first <= through {
		x := s.rewrite.list[0]
		last := min(x.last, through)
		if s.rewrite.list[0].first = last + 1; last == x.last {
			s.rewrite.list = s.rewrite.list[1:]
		}
		s.holes.cover(x.first, last)
		r.gap(diode.Gap{Epoch: s.epoch, Class: s.class, First: x.first, Last: last, Reason: diode.ReasonLink})
	}
}
