package send

import (
	"context"
	"fmt"
	"time"
)

const (
	helloEvery   = 100 * time.Millisecond // announcements while data flows (design)
	helloShare   = 10                     // part of the rate that these may take
	readyEvery   = 100 * time.Millisecond // how often Config.Ready is asked
	settleEvery  = 10 * time.Millisecond  // how stale Source.Sent may be under load
	criticalGain = 4                      // turns of critical classes for one of bulk
	idleWait     = time.Minute            // upper bound of a wait; heartbeats are due sooner
)

// round does what is due, gives one class its turn, and waits when there is
// nothing to do.
func (s *Sender) round(ctx context.Context) error {
	now := time.Now()
	if err := s.due(ctx, now); err != nil {
		return err
	}
	busy, err := s.turn(ctx, now)
	if err != nil || busy {
		return err
	}
	return s.rest(ctx)
}

// due does what time asks for, in order of importance.
func (s *Sender) due(ctx context.Context, now time.Time) error {
	if err := s.ready(now); err != nil {
		return err
	}
	if err := s.rekey(ctx, now); err != nil {
		return err
	}
	if !now.Before(s.beatAt()) {
		if err := s.heartbeat(ctx, now); err != nil {
			return err
		}
	}
	if s.dataSince && now.Sub(s.lastHello) >= s.helloEvery {
		if err := s.hello(ctx, now); err != nil {
			return err
		}
	}
	s.pollTest()
	for _, st := range s.streams {
		if err := st.due(now); err != nil {
			return err
		}
	}
	if now.Sub(s.lastSettle) >= settleEvery {
		return s.settle(ctx, now)
	}
	return nil
}

// ready asks now and then whether frames may leave.
func (s *Sender) ready(now time.Time) error {
	if s.cfg.Ready == nil || now.Sub(s.lastReady) < readyEvery {
		return nil
	}
	s.lastReady = now
	if err := s.cfg.Ready(); err != nil {
		return fmt.Errorf("%w: %w", errHeld, err)
	}
	return nil
}

// turn lets the next class that has work send its share: every class with work
// gets turns, critical ones more. A self-test takes the place of all of them.
func (s *Sender) turn(ctx context.Context, now time.Time) (bool, error) {
	for range len(s.streams) + 1 {
		st := s.streams[s.turnOf]
		if s.turns < st.weight && st.hasWork() {
			s.turns++
			return true, st.turn(ctx, now)
		}
		s.turnOf, s.turns = (s.turnOf+1)%len(s.streams), 0
	}
	return s.testTurn(ctx, now)
}

// rest sends what is gathered and waits for work, the next deadline or ctx.
func (s *Sender) rest(ctx context.Context) error {
	now := time.Now()
	if err := s.settle(ctx, now); err != nil {
		return err
	}
	s.idle.Reset(max(s.deadline(now).Sub(now), 0))
	select {
	case <-s.wake:
	case <-s.idle.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

func (s *Sender) deadline(now time.Time) time.Time {
	d := earlier(now.Add(idleWait), s.beatAt())
	d = s.rekeyDeadline(now, d)
	if s.dataSince {
		d = earlier(d, s.lastHello.Add(s.helloEvery))
	}
	if s.cfg.Ready != nil {
		d = earlier(d, s.lastReady.Add(readyEvery))
	}
	if s.test != nil {
		d = earlier(d, s.test.from)
	}
	for _, st := range s.streams {
		d = st.deadline(d)
	}
	return d
}

// settle empties the burst and moves the sources' cursors.
func (s *Sender) settle(ctx context.Context, now time.Time) error {
	s.lastSettle = now
	if err := s.tx.flush(ctx); err != nil {
		return err
	}
	for _, st := range s.streams {
		st.settle(now)
	}
	return nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
