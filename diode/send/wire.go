package send

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// greet opens a session and announces it before any data.
func (s *Sender) greet(ctx context.Context) error {
	x, err := openSession(s.cfg, s.file)
	if err != nil {
		return err
	}
	s.session = x
	s.stats.session.Store(x.id)
	s.log.Info("session opened", "session", x.id, "burst", s.tx.burst)
	for range helloTimes {
		if err := s.hello(ctx, time.Now()); err != nil {
			return err
		}
		if err := s.tx.pace.sleep(ctx, helloOver/helloTimes); err != nil {
			return err
		}
	}
	return s.heartbeat(ctx, time.Now())
}

func (s *Sender) hello(ctx context.Context, now time.Time) error {
	s.lastHello, s.dataSince = now, false
	return s.tx.urgent(ctx, s.session.hello)
}

// renew follows a spent session by a new one: what is under way is finished
// first, because blocks belong to sessions.
func (s *Sender) renew(ctx context.Context, now time.Time) error {
	for _, st := range s.streams {
		if err := st.finish(ctx, now); err != nil {
			return err
		}
	}
	if err := s.settle(ctx, now); err != nil {
		return err
	}
	for _, st := range s.streams {
		st.next = 0
	}
	return s.greet(ctx)
}

// hold waits until the link takes frames again and goes back over what it took
// shortly before: that may never have reached the wire.
func (s *Sender) hold(ctx context.Context, cause error) error {
	since := time.Now()
	s.tx.clear()
	for _, st := range s.streams {
		st.abandon(since)
	}
	return s.tx.hold(ctx, cause)
}

// emit seals one shard into the burst.
func (s *Sender) emit(ctx context.Context, class diode.Class, h *frame.Header, shard []byte) error {
	dst, err := s.tx.room(ctx, frame.Overhead+len(shard))
	if err != nil {
		return err
	}
	s.dataSince = true
	h.Class = uint8(class)
	s.stamp(h)
	s.session.sealer.Seal(dst, h, shard)
	s.tx.add(frame.Overhead + len(shard))
	return nil
}

// stamp gives the header the session's next counter.
func (s *Sender) stamp(h *frame.Header) {
	h.LinkID, h.KeyID, h.Session = s.cfg.LinkID, s.cfg.KeyID, s.session.id
	h.Counter = s.session.counter
	s.session.counter++
}
