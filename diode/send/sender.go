package send

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	helloTimes   = 8                      // announcements before the first data (design)
	helloOver    = 200 * time.Millisecond // over which they are sent (design)
	helloEvery   = 100 * time.Millisecond // announcements while data flows (design)
	settleEvery  = 10 * time.Millisecond  // how stale Source.Sent may be under load
	maxQuantum   = 32 << 10               // bytes of bulk per turn
	quantumTime  = 4 * time.Millisecond   // of the rate: a turn must not delay a heartbeat
	criticalGain = 4                      // turns of critical classes are so much longer than those of bulk
	idleWait     = time.Minute            // upper bound of a wait; heartbeats are due sooner
	maxFree      = 24                     // blocks kept for reuse
)

// Sender is the near end of a link.
type Sender struct {
	cfg      Config
	log      *slog.Logger
	shard    int // bytes of a full shard
	limits   limits
	file     *floor.File
	codec    *fec.Codec
	digester *frame.Digester
	streams  []*stream
	wake     chan struct{} // capacity 1
	stats    counters

	// Owned by the loop.
	session    *session
	tx         transmitter
	turnOf     int // stream whose turn is next
	free       []*block
	idle       *time.Timer
	lastHello  time.Time
	lastBeat   time.Time
	lastSettle time.Time
	dataSince  bool // a shard has left since lastHello
	beat       []byte
	sealed     []byte
}

// New checks the configuration and prepares a sender. It neither sends nor
// starts anything.
func New(c Config) (*Sender, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	shard, err := frame.ShardBytes(c.MTU, c.IPv6)
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	file, err := floor.Open(c.StateDir, "send", c.LinkID, c.KeyID)
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	s := &Sender{
		cfg: c, log: c.Log.With("link", c.Link), shard: shard, limits: defaultLimits(),
		file: file, codec: fec.NewCodec(), digester: frame.NewDigester(), wake: make(chan struct{}, 1),
		sealed: make([]byte, frame.Overhead+shard),
	}
	for _, class := range slices.Sorted(maps.Keys(c.Classes)) {
		st, err := s.newStream(class, c.Classes[class])
		if err != nil {
			return nil, fmt.Errorf("send: link %q: class %d: %w", c.Link, class, err)
		}
		s.streams = append(s.streams, st)
	}
	return s, nil
}

func (s *Sender) newStream(class diode.Class, own ClassConfig) (*stream, error) {
	bulk, err := own.protection().Bulk(s.shard)
	if err != nil {
		return nil, err
	}
	quantum := int(float64(s.cfg.RateBits) / 8 * quantumTime.Seconds())
	quantum = max(min(quantum, maxQuantum), s.shard)
	if class != diode.Bulk {
		quantum *= criticalGain
	}
	st := &stream{
		Sender: s, class: class, own: own, bulk: bulk, source: own.Source, quantum: quantum,
		ready: make(chan fed, feedDepth), free: make(chan []byte, feedDepth), copies: newCopies(own.Repeat),
	}
	for range feedDepth {
		st.free <- make([]byte, diode.MaxBatchBytes)
	}
	return st, nil
}

// Run sends until ctx ends, then returns nil; any other end is an error: the
// source failed, the connection was closed, or the state directory cannot be
// written. Batches that were not reported to Source.Sent must be handed out
// again after a restart. Run may be called once.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for _, st := range s.streams {
		wg.Go(func() {
			if err := st.feed(ctx); err != nil {
				cancel(err)
			}
		})
	}
	err := s.loop(ctx)
	cause := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	switch {
	case cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded):
		return cause
	case cause != nil:
		return nil
	default:
		return err
	}
}

func (s *Sender) loop(ctx context.Context) error {
	if err := forbidFragments(s.cfg.Conn, s.cfg.IPv6); err != nil {
		return err
	}
	s.idle = time.NewTimer(idleWait)
	defer s.idle.Stop()
	s.newTransmitter()
	err := s.greet(ctx)
	for {
		if errors.Is(err, errHeld) {
			err = s.hold(ctx, err)
		}
		if err != nil {
			return err
		}
		err = s.round(ctx)
	}
}

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

func (s *Sender) newTransmitter() {
	size := frame.Overhead + s.shard
	burst := min(maxBurst, maxBurstBytes/size)
	for _, st := range s.streams { // one that is lost whole must be within what the code repairs
		burst = min(burst, st.bulk.Parity*3/4)
	}
	perWindow := float64(s.cfg.RateBits) / 8 * paceWindow.Seconds() / float64(size)
	burst = max(1, min(burst, int(perWindow)))
	s.tx = transmitter{
		conn: s.cfg.Conn, seg: newSegmenter(s.cfg.Conn), log: s.log, stats: &s.stats, burst: burst,
		pace: newPacer(s.cfg.RateBits, s.cfg.IPv6, burst*(size+wireOverhead+40)),
		buf:  make([]byte, burst*size), probe: func() []byte { return s.session.hello },
	}
	s.stats.segmentation.Store(s.tx.seg != nil)
}

// due does what time asks for, in order of importance.
func (s *Sender) due(ctx context.Context, now time.Time) error {
	if s.session.spent(now, s.limits) {
		if err := s.renew(ctx, now); err != nil {
			return err
		}
	}
	if now.Sub(s.lastBeat) >= s.cfg.Heartbeat {
		if err := s.heartbeat(ctx, now); err != nil {
			return err
		}
	}
	if s.dataSince && now.Sub(s.lastHello) >= helloEvery {
		if err := s.hello(ctx, now); err != nil {
			return err
		}
	}
	for _, st := range s.streams {
		if err := st.due(ctx, now); err != nil {
			return err
		}
	}
	if now.Sub(s.lastSettle) >= settleEvery {
		return s.settle(ctx, now)
	}
	return nil
}

// turn lets the next class that has work send its share. Every class with work
// gets a turn; critical ones get longer turns.
func (s *Sender) turn(ctx context.Context, now time.Time) (bool, error) {
	for i := range s.streams {
		n := (s.turnOf + i) % len(s.streams)
		if !s.streams[n].hasWork(now) {
			continue
		}
		s.turnOf = (n + 1) % len(s.streams)
		return true, s.streams[n].turn(ctx, now)
	}
	return false, nil
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
	d := earlier(now.Add(idleWait), s.lastBeat.Add(s.cfg.Heartbeat))
	if s.dataSince {
		d = earlier(d, s.lastHello.Add(helloEvery))
	}
	for _, st := range s.streams {
		d = st.deadline(now, d)
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
		st.settle()
	}
	return nil
}

func (s *Sender) takeBlock() *block {
	if n := len(s.free); n > 0 {
		b := s.free[n-1]
		s.free = s.free[:n-1]
		return b
	}
	return newBlock(s.shard)
}

func (s *Sender) giveBlock(b *block) {
	if len(s.free) < maxFree {
		s.free = append(s.free, b)
	}
}
