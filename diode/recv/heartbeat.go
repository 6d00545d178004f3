package recv

import (
	"github.com/sluice-gateway/sluice/diode/frame"
)

// heartbeat takes the opened plaintext of a heartbeat. Only the newest one of
// the session in use counts.
func (p *path) heartbeat(x *session, h *frame.Header, plain []byte) {
	hb, err := frame.ParseHeartbeat(plain)
	if err != nil {
		p.frames.BadBody++
		return
	}
	p.frames.Heartbeats++
	if x.beaten && h.Counter < x.beatAt {
		return
	}
	x.beaten, x.beatAt = true, h.Counter
	x.next, x.switchAt = hb.Next, hb.SwitchAt
	if x != p.active {
		return
	}
	if p.state(p.now) != StateUp {
		p.log.Info("link is up", "session", x.id)
	}
	p.silent = false
	p.beat, p.beatAt, p.offset = hb, p.now, hb.Clock.Sub(p.now)
	if p.Receiver.cfg.Heard != nil {
		p.Receiver.cfg.Heard(p.cfg.Link, hb)
	}
	for i := range hb.Series {
		p.said(x, h.Counter, &hb.Series[i])
	}
}

// said takes what a heartbeat says of one class.
func (p *path) said(x *session, counter uint64, b *frame.Series) {
	w := p.row(b.Class)
	s := p.place(w, x, b)
	if s == nil {
		return
	}
	x.named[b.Class] = s.epoch
	p.watchBack(s, x, b)
	s.accepted, s.acceptedSum = b.Accepted, b.AcceptedSum
	t := through{seq: b.Sent, sum: b.SentSum, at: p.live, counter: counter, session: x}
	if b.Sent >= b.Epoch.Start {
		s.said[p.index].add(t)
	}
	p.saidBefore(w, s, b, t)
	p.moveOn(w)
}

// saidBefore applies what a heartbeat says to the epochs before the one it
// names: what is below its start belongs to them.
func (p *path) saidBefore(w *row, s *series, b *frame.Series, t through) {
	passed := b.Sent+1 >= s.start || b.First >= s.start
	for _, old := range w.before(s) {
		switch {
		case old.ended:
		case passed:
			end := t
			end.seq, end.sum, end.over = 0, 0, true
			if old.epoch == b.Epoch.Prev {
				end.seq, end.sum = s.start-1, s.startSum
			}
			old.said[p.index].add(end)
		case old.epoch == b.Epoch.Prev && b.Sent > 0:
			old.said[p.index].add(t)
		}
	}
}
