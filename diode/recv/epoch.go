package recv

import (
	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// firstUse is called with the first authentic frame of a session. When the
// session is the newest, its epoch is the current one: series of other epochs
// have ended.
func (r *Receiver) firstUse(x *session) {
	x.used = true
	if x != r.newest() {
		return
	}
	for _, old := range r.sessions {
		if old != x && old.superseded.IsZero() {
			old.superseded = r.live
		}
	}
	if r.current.Epoch != x.origin.Epoch {
		r.log.Info("epoch", "epoch", x.origin.Epoch, "previous", x.origin.Prev)
	}
	r.current, r.stats.Epoch = x.origin, x.origin.Epoch
	for _, s := range r.series {
		if s.epoch == x.origin.Epoch {
			s.ended = false
			continue
		}
		if !s.ended {
			r.endSeries(s, x.origin)
		}
	}
}

// endSeries names what is missing at the end of a series that another epoch
// follows: exactly, when the new epoch says where the old one ended; else what
// the heartbeats told, and an open end.
func (r *Receiver) endSeries(s *series, o frame.Origin) {
	r.flush(s)
	s.ended = true
	if end, ok := endOf(s, o); ok {
		s.contact = true
		r.hole(s, end.Last+1, end.Sum, diode.ReasonEpochEnd)
		return
	}
	if !s.contact && s.accepted == 0 {
		return
	}
	s.contact = true
	r.hole(s, s.accepted+1, s.acceptedSum, diode.ReasonEpochEnd)
	r.gap(diode.Gap{Epoch: s.epoch, Class: s.class, First: s.next, Reason: diode.ReasonEpochEnd})
}

// endOf returns where the origin says that the series ended.
func endOf(s *series, o frame.Origin) (frame.PrevEnd, bool) {
	if o.Prev != s.epoch {
		return frame.PrevEnd{}, false
	}
	for _, e := range o.Ends {
		if e.Class == s.class {
			return e, e.Known
		}
	}
	return frame.PrevEnd{}, false
}

// loadPositions makes the series that are durable on the far side. Of several
// epochs of one class only the last has not ended.
func (r *Receiver) loadPositions(positions []diode.Position, open []diode.Gap) {
	for _, p := range positions {
		for _, old := range r.series {
			if old.class == p.Class && old.epoch != p.Epoch {
				old.ended = true
			}
		}
		s := r.seriesOf(p.Epoch, p.Class)
		s.contact, s.next, s.sum, s.ended = true, p.Seq+1, p.SumAfter, false
	}
	for _, g := range open {
		s := r.seriesOf(g.Epoch, g.Class)
		if s.contact && g.First > 0 && g.First <= g.Last && g.Last < s.next {
			s.holes.add(g.First, g.Last)
		}
	}
}

// heartbeat takes the opened plaintext of a heartbeat.
func (r *Receiver) heartbeat(x *session, h *frame.Header, plain []byte) {
	hb, err := frame.ParseHeartbeat(plain)
	if err != nil {
		r.stats.BadBody++
		return
	}
	r.stats.Heartbeats++
	if x != r.newest() {
		return
	}
	if r.stats.LastHeartbeat.IsZero() || r.now.Sub(r.stats.LastHeartbeat) > r.cfg.AlarmAfter {
		r.log.Info("link is up", "session", x.id)
		r.silent = false
	}
	r.stats.LastHeartbeat, r.stats.HeartbeatGap = r.now, hb.Every
	r.stats.ClockOffset = hb.Clock.Sub(r.now)
	r.stats.Health, r.stats.Near = hb.Health, hb.Bounds
	for _, b := range hb.Bounds {
		r.seriesOf(x.origin.Epoch, b.Class).heard(b, x, h.Counter, r.live)
	}
}
