package send

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxQuantum  = 64 << 10             // bytes per turn: about one burst
	quantumTime = 4 * time.Millisecond // of the rate: a turn must not delay a heartbeat or another class
	maxFree     = 24                   // blocks kept for reuse
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
	keys     opener
	tests    chan *testRun // capacity 1
	testing  atomic.Bool   // somebody is in Test
	stopped  chan struct{} // closed when Run has ended
	stats    counters

	// Owned by the loop.
	session    *session
	greeted    bool
	next       following
	tx         transmitter
	turnOf     int // stream whose turn is next
	turns      int // that it has had in a row
	free       []*block
	idle       *time.Timer
	helloEvery time.Duration
	lastHello  time.Time
	lastBeat   time.Time
	earlyBeats int // of a new session, which come sooner
	lastSettle time.Time
	lastReady  time.Time
	dataSince  bool // a shard has left since lastHello
	test       *testRun
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
		keys: newOpener(), tests: make(chan *testRun, 1), stopped: make(chan struct{}), sealed: make([]byte, frame.Overhead+shard),
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
	st := &stream{
		Sender: s, class: class, own: own, bulk: bulk, source: own.Source,
		quantum: max(min(quantum, maxQuantum), s.shard), weight: 1,
		ready: make(chan fed, feedDepth), free: make(chan []byte, feedDepth),
		copies: newCopies(own.Repeat), reader: newReader(), asked: newResends(s.cfg.ResendBits),
	}
	if class != diode.Bulk {
		st.weight = criticalGain
	}
	for range feedDepth {
		st.free <- make([]byte, diode.MaxBatchBytes)
	}
	return st, nil
}

// Run sends until ctx ends, then returns nil; any other end is an error: the
// source failed, the connection was closed, or the session floor is damaged.
// Batches that were not reported to Source.Sent must be handed out again after
// a restart. Run may be called once.
func (s *Sender) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil {
				cancel(err)
			}
		})
	}
	start(s.openSessions)
	for _, st := range s.streams {
		start(st.feed)
		start(st.read)
	}
	err := s.loop(ctx)
	cause := context.Cause(ctx)
	cancel(nil)
	wg.Wait()
	close(s.stopped)
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
	err := s.begin(ctx)
	for {
		for errors.Is(err, errHeld) {
			err = s.hold(ctx, err)
		}
		if err != nil {
			return err
		}
		err = s.round(ctx)
	}
}

// wakeUp makes the loop look for work.
func (s *Sender) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
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
