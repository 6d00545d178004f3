package recv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	tick       = 25 * time.Millisecond // how late a deadline may be noticed
	liveStep   = 2 * tick              // a tick may be late by as much before it counts as standing still (ours)
	shardShare = 4                     // a quarter of the memory is for shards, the rest for batches
	maxFree    = 64                    // blocks kept for reuse
	rateOver   = time.Second           // over which BitsPerSecond is measured
)

// Receiver is the far end of a link, or of several that carry the same.
type Receiver struct {
	cfg      Config
	log      *slog.Logger
	codec    *fec.Codec
	digester *frame.Digester
	queue    *queue
	memory   memory
	buffers  buffers
	keeper   *keeper
	out      *deliverer
	paths    []*path
	full     chan *chunk // of all paths; as many places as chunks

	farErrors atomic.Uint64

	mu         sync.Mutex // guards what follows, and the paths
	stats      Stats
	rows       []*row
	uses       uint64 // sessions used so far
	pool       shardPool
	free       []*block
	scratch    []byte    // for opening heartbeats
	now        time.Time // of the chunk in work
	live       time.Time // the clock of all patience, see turn
	left       bool      // the loop has ended: nothing counts any more
	storedAt   time.Time // when the windows' tops last went to the keeper
	rateAt     time.Time
	rateBytes  uint64
	shardLimit int64
}

// New checks the configuration, loads the floors and prepares a receiver. It
// neither reads nor starts anything.
func New(c Config) (*Receiver, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	log := c.Log.With("link", c.Name)
	r := &Receiver{
		cfg: c, log: log, codec: fec.NewCodec(), digester: frame.NewDigester(), queue: newQueue(),
		keeper: newKeeper(log), shardLimit: c.MemoryBytes / shardShare, scratch: make([]byte, 0, frame.MaxBytes),
		full: make(chan *chunk, chunkCount*len(c.Paths)),
	}
	r.memory.limit = c.MemoryBytes - r.shardLimit
	for i, path := range c.Paths {
		p, err := newPath(r, i, path)
		if err != nil {
			return nil, err
		}
		r.paths = append(r.paths, p)
	}
	r.out = &deliverer{
		sink: c.Sink, queue: r.queue, memory: &r.memory, buffers: &r.buffers, errors: &r.farErrors,
		wake: make(chan struct{}, 1),
	}
	r.loadPositions(c.Positions, c.Open)
	return r, nil
}

// Run receives until ctx ends, hands over for at most 5 s what was already in
// order, and returns nil; any other end is an error: a connection was closed,
// or the sink could not record a gap. Run may be called once.
func (r *Receiver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	start := func(name string, run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				cancel(fmt.Errorf("recv: link %q: %w", name, err))
			}
		})
	}
	for _, p := range r.paths {
		start(p.cfg.Link, p.run)
	}
	start(r.cfg.Name, r.out.run)
	start(r.cfg.Name, func(ctx context.Context) error { r.keeper.run(ctx); return nil })
	r.loop(ctx)
	r.queue.close()
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

// loop owns what lies between chunk and queue, but for chunks that a reader
// works through itself.
func (r *Receiver) loop(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case c := <-r.full:
			r.chunk(c)
		case <-t.C:
			r.readFirst()
			r.tick()
		case <-ctx.Done():
			r.leave()
			return
		}
	}
}

// readFirst works through what has been read: nothing is given up for lost
// that waits in our own hands.
func (r *Receiver) readFirst() {
	for range cap(r.full) {
		select {
		case c := <-r.full:
			r.chunk(c)
		default:
			return
		}
	}
}

// turn moves both clocks. The live clock is the wall's, but a single turn moves
// it by liveStep at most: while this process stood still, on a busy or a
// suspended machine, frames waited in the socket and no sender was late.
func (r *Receiver) turn() {
	now := time.Now()
	if r.now.IsZero() {
		r.live = now
	} else {
		r.live = r.live.Add(min(now.Sub(r.now), liveStep))
	}
	r.now = now
}

// chunk works through what one read brought and gives the chunk back.
func (r *Receiver) chunk(c *chunk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.work(c)
	if c.queued {
		c.queued = false
		c.path.queued.Add(-1)
	}
	c.home <- c // never blocks: as many places as chunks
}

// tryChunk works through a chunk in the goroutine that read it, when nothing of
// that path waits and nobody else is at work.
func (p *path) tryChunk(c *chunk) bool {
	if p.queued.Load() > 0 || !p.mu.TryLock() {
		return false
	}
	defer p.mu.Unlock()
	if p.left {
		return false
	}
	p.work(c)
	return true
}

func (r *Receiver) work(c *chunk) {
	r.turn()
	p := c.path
	for _, d := range c.packets {
		p.datagram(c.buf[d.off : d.off+d.size])
	}
	if c.fresh {
		p.dropBase = 0
	}
	if c.hasDrop {
		p.drops(c.drops)
	}
	r.expireBlocks()
	r.stats.MemoryMax = max(r.stats.MemoryMax, r.memory.used.Load()+r.pool.inUse)
}

// tick does what time asks for.
func (r *Receiver) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	r.expireBlocks()
	for _, id := range r.out.lost() {
		if s := r.row(id.Class).find(id.Epoch); s != nil && !s.holes.has(id.Seq) {
			s.holes.add(id.Seq, id.Seq)
		}
	}
	for _, w := range r.rows {
		r.expireRow(w)
	}
	store := r.now.Sub(r.storedAt) >= windowStored
	for _, p := range r.paths {
		p.tick()
		if store {
			p.storeWindow()
			r.storedAt = r.now
		}
	}
	r.measureRate()
}

func (r *Receiver) measureRate() {
	d := r.now.Sub(r.rateAt)
	if d < rateOver {
		return
	}
	r.stats.BitsPerSecond = float64(r.stats.Bytes-r.rateBytes) * 8 / d.Seconds()
	r.rateAt, r.rateBytes = r.now, r.stats.Bytes
}

// leave stores the windows' tops.
func (r *Receiver) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now, r.left = time.Now(), true
	for _, p := range r.paths {
		p.leave()
	}
}
