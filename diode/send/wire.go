package send

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	helloTimes = 8                      // announcements before the first data (design)
	helloOver  = 200 * time.Millisecond // over which they are sent (design)
	firstBeats = 3                      // heartbeats that come soon in a session: they place the epochs of its batches
	earlyBeat  = 60 * time.Millisecond  // between these
)

// begin waits until frames may leave and a session is open, and announces it
// before any data.
func (s *Sender) begin(ctx context.Context) error {
	s.askSession()
	select {
	case x := <-s.keys.made:
		s.use(x)
	case <-ctx.Done():
		return ctx.Err()
	}
	return s.greeting(ctx)
}

func (s *Sender) greeting(ctx context.Context) error {
	s.lastReady = time.Time{}
	if err := s.ready(time.Now()); err != nil {
		return err
	}
	for i := range helloTimes {
		if err := s.greet(ctx, i); err != nil {
			return err
		}
		if err := s.tx.pace.sleep(ctx, max(helloOver/helloTimes, s.tx.pace.debt(time.Now()))); err != nil {
			return err
		}
	}
	s.greeted = true
	return nil
}

// greet sends announcement i, and now and then a heartbeat behind it.
func (s *Sender) greet(ctx context.Context, i int) error {
	now := time.Now()
	if i%3 == 2 || i == helloTimes-1 {
		return s.heartbeat(ctx, now)
	}
	return s.hello(ctx, now)
}

// hello announces the session, and the one that will follow it.
func (s *Sender) hello(ctx context.Context, now time.Time) error {
	s.lastHello, s.dataSince = now, false
	if err := s.tx.urgent(ctx, s.session.hello); err != nil || s.next.session == nil {
		return err
	}
	return s.tx.urgent(ctx, s.next.session.hello)
}

// hold waits until the link takes frames again and goes back over what it took
// shortly before: that may never have reached the wire.
func (s *Sender) hold(ctx context.Context, cause error) error {
	since := time.Now()
	s.tx.clear()
	for _, st := range s.streams {
		st.abandon(since)
	}
	s.endTest(cause)
	if err := s.tx.hold(ctx, cause, s.mayLeave); err != nil {
		return err
	}
	if !s.greeted {
		return s.greeting(ctx)
	}
	s.lastBeat = time.Time{} // one is due at once
	return nil
}

// mayLeave says whether a held link may try its luck.
func (s *Sender) mayLeave() error {
	if s.cfg.Ready != nil {
		s.lastReady = time.Now()
		if err := s.cfg.Ready(); err != nil {
			return err
		}
	}
	if s.session.counter < s.limits.last {
		return nil
	}
	if s.next.session == nil {
		select {
		case s.next.session = <-s.keys.made:
		default:
			return s.spentError()
		}
	}
	s.use(s.next.session)
	return nil
}

// emit seals one shard into the burst.
func (s *Sender) emit(ctx context.Context, h *frame.Header, shard []byte) error {
	dst, err := s.tx.room(ctx, frame.Overhead+len(shard))
	if err != nil {
		return err
	}
	s.dataSince = s.dataSince || h.Kind == frame.KindShard
	if err := s.stamp(h); err != nil {
		return err
	}
	s.session.sealer.Seal(dst, h, shard)
	s.tx.add(frame.Overhead + len(shard))
	return nil
}
