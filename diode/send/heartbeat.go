package send

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// beatAt is when the next heartbeat is due: sooner at the start of a session.
func (s *Sender) beatAt() time.Time {
	if s.earlyBeats > 0 {
		return s.lastBeat.Add(min(earlyBeat, s.cfg.Heartbeat))
	}
	return s.lastBeat.Add(s.cfg.Heartbeat)
}

// heartbeat tells the far side what the near side believes. It follows an
// announcement, so that a receiver can join with it, and leaves after the
// frames gathered so far: the sent-through that it states is true of all
// frames before it in wire order.
func (s *Sender) heartbeat(ctx context.Context, now time.Time) error {
	if err := s.settle(ctx, now); err != nil {
		return err
	}
	if err := s.hello(ctx, now); err != nil {
		return err
	}
	s.lastBeat, s.earlyBeats = now, max(s.earlyBeats-1, 0)
	if s.next.session != nil {
		s.next.ahead++
	}
	return s.sendBeat(ctx, now, s.limits.last)
}

// sendBeat sends one heartbeat. switchAt is a bound: this session seals no
// frame with that counter or a higher one.
func (s *Sender) sendBeat(ctx context.Context, now time.Time, switchAt uint64) error {
	h := frame.Heartbeat{Clock: now, Every: s.cfg.Heartbeat, Counters: s.stats.wire()}
	if s.next.session != nil {
		h.Next, h.SwitchAt = s.next.session.id, switchAt
	}
	var series [diode.MaxClasses]frame.Series
	h.Series = series[:0]
	for _, st := range s.streams {
		h.Series = append(h.Series, st.state())
	}
	if s.cfg.Health != nil {
		h.Health = s.cfg.Health()
	}
	s.beat = h.Append(s.beat[:0])
	head := frame.Header{Kind: frame.KindHeartbeat, Start: frame.NoStart}
	if err := s.stamp(&head); err != nil {
		return err
	}
	s.sealed = s.session.sealer.Seal(s.sealed[:0], &head, s.beat)
	s.stats.hbs.Add(1)
	return s.tx.urgent(ctx, s.sealed)
}

// state is what a heartbeat says of this class.
func (st *stream) state() frame.Series {
	first, next, sum := st.source.Bounds()
	x := frame.Series{Class: st.class, Epoch: st.own.Epoch, First: first, Accepted: next - min(next, 1), AcceptedSum: sum}
	if st.marks.started {
		x.Sent, x.SentSum = st.marks.sent, st.marks.sum
	}
	if o, ok := st.source.(interface{ Oldest() time.Time }); ok {
		x.Oldest = o.Oldest()
	}
	return x
}
