package send

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
)

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
	s.lastBeat = now
	h := frame.Heartbeat{Clock: now, Every: s.cfg.Heartbeat, Counters: s.stats.wire()}
	for _, st := range s.streams {
		first, next, sum := st.source.Bounds()
		b := frame.Series{Class: st.class, Epoch: st.own.Epoch, First: first, Accepted: next - min(next, 1), AcceptedSum: sum}
		if o, ok := st.source.(interface{ Oldest() time.Time }); ok {
			b.Oldest = o.Oldest()
		}
		if st.marks.started {
			b.Sent, b.SentSum = st.marks.sent, st.marks.sum
		}
		h.Series = append(h.Series, b)
	}
	if s.cfg.Health != nil {
		h.Health = s.cfg.Health()
	}
	s.beat = h.Append(s.beat[:0])
	head := frame.Header{Kind: frame.KindHeartbeat, Start: frame.NoStart}
	s.stamp(&head)
	s.sealed = s.session.sealer.Seal(s.sealed[:0], &head, s.beat)
	s.stats.hbs.Add(1)
	return s.tx.urgent(ctx, s.sealed)
}
