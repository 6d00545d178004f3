package send

import (
	"context"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	aheadBeats = 3 // heartbeats that name the next session before it is used (design)
	lastBeats  = 3 // heartbeats that end a session, so that one of them arrives
)

// following is the session that will follow the present one.
//
//	open beside the loop ─> announced in 3 heartbeats ─> drain ─> finish ─> use
//
// Data flows all the time: while draining, one class after the other comes to
// the end of its batch, and the others go on.
type following struct {
	asked   bool
	session *session
	ahead   int // heartbeats that have named it
	drain   bool
	closed  bool // all blocks of the present session are closed
}

// rekey lets a spent session be followed by another. Blocks and batches belong
// to one session.
func (s *Sender) rekey(ctx context.Context, now time.Time) error {
	n := &s.next
	switch {
	case !n.asked && s.spent(now):
		s.askSession()
	case n.asked && n.session == nil:
		return s.announceNext(ctx, now)
	case n.ahead >= aheadBeats:
		n.drain = true
		return s.drainOn(ctx, now)
	}
	return nil
}

// drainOn goes on towards the change as far as it can now.
func (s *Sender) drainOn(ctx context.Context, now time.Time) error {
	if !s.drained() {
		return nil
	}
	if !s.next.closed {
		s.next.closed = true
		if err := s.closeAll(now); err != nil {
			return err
		}
	}
	if !s.emptied() {
		return nil
	}
	return s.change(ctx, now)
}

func (s *Sender) askSession() {
	s.next.asked = true
	s.keys.ask <- struct{}{} // never blocks: one is asked for at a time
}

// spent says that the session must be followed by another: by age early enough
// to announce it.
func (s *Sender) spent(now time.Time) bool {
	return s.session.counter >= s.limits.frames || !now.Before(s.spentAt())
}

func (s *Sender) spentAt() time.Time {
	return s.session.from.Add(s.limits.age - aheadBeats*s.cfg.Heartbeat)
}

// rekeyDeadline is when rekey has something to do, if nothing new comes.
func (s *Sender) rekeyDeadline(now, d time.Time) time.Time {
	switch {
	case !s.next.asked:
		return earlier(d, s.spentAt())
	case s.next.ahead >= aheadBeats && s.drained():
		return earlier(d, now)
	default:
		return d
	}
}

// announceNext makes the next session known as soon as it is open.
func (s *Sender) announceNext(ctx context.Context, now time.Time) error {
	select {
	case x := <-s.keys.made:
		s.next.session = x
		s.log.Info("session follows", "session", x.id, "after", s.session.id)
		return s.hello(ctx, now)
	default:
		return nil
	}
}

// drained says that no class is in the middle of a batch.
func (s *Sender) drained() bool {
	for _, st := range s.streams {
		if st.cur.active {
			return false
		}
	}
	return true
}

func (s *Sender) closeAll(now time.Time) error {
	for _, st := range s.streams {
		if err := st.finish(now); err != nil {
			return err
		}
	}
	return nil
}

// emptied says that everything that was sealed or waits for it has left.
func (s *Sender) emptied() bool {
	for _, st := range s.streams {
		if st.out.len() > 0 {
			return false
		}
	}
	return true
}

// change ends the session with heartbeats that state its last counter, and
// uses the next one from there on.
func (s *Sender) change(ctx context.Context, now time.Time) error {
	if err := s.settle(ctx, now); err != nil {
		return err
	}
	last := s.session.counter + lastBeats
	for range lastBeats {
		if err := s.sendBeat(ctx, now, last); err != nil {
			return err
		}
	}
	s.use(s.next.session)
	return s.heartbeat(ctx, now)
}

// use makes x the session that seals.
func (s *Sender) use(x *session) {
	x.from = time.Now()
	s.session, s.next = x, following{}
	s.earlyBeats = firstBeats
	s.stats.session.Store(x.id)
	for _, st := range s.streams {
		st.next = 0
	}
	s.log.Info("session in use", "session", x.id)
}

// halted says that a class must not begin another batch: a self-test has the
// line, or the session is about to change and the classes before it have come
// to the end of theirs.
func (s *Sender) halted(st *stream) bool {
	if !s.next.drain || s.test != nil {
		return s.test != nil
	}
	for _, other := range s.streams {
		if other == st {
			return true
		}
		if other.cur.active {
			return false
		}
	}
	return true
}

func (s *Sender) spentError() error {
	return fmt.Errorf("session %d is spent and no other could be opened", s.session.id)
}

// stamp gives the header the session's next counter. A counter is never used
// twice, and none beyond the session's last.
func (s *Sender) stamp(h *frame.Header) error {
	if s.session.counter >= s.limits.last {
		return fmt.Errorf("%w: %w", errHeld, s.spentError())
	}
	h.LinkID, h.KeyID, h.Session = s.cfg.LinkID, s.cfg.KeyID, s.session.id
	h.Counter = s.session.counter
	s.session.counter++
	return nil
}
