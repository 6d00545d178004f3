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

// Receiver is the far end of a link.
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

	farErrors atomic.Uint64

	mu         sync.Mutex // guards what follows
	stats      Stats
	keys       []*keyring
	sessions   []*session // oldest first, at most maxSessions
	series     []*series
	current    frame.Origin // of the newest session in use
	pool       shardPool
	free       []*block
	scratch    []byte    // for opening heartbeats
	now        time.Time // of the chunk in work
	live       time.Time // the clock of all patience, see turn
	accepted   time.Time // when a session was last looked at for acceptance
	checked    time.Time // when an announcement below the floor was last checked
	storedAt   time.Time // when the window's top last went to the keeper
	silent     bool      // the alarm was logged
	rateAt     time.Time
	rateBytes  uint64
	shardLimit int64
	dropBase   uint32 // kernel's counter of drops when last seen
}

// New checks the configuration, loads the floors and prepares a receiver. It
// neither reads nor starts anything.
func New(c Config) (*Receiver, error) {
	c = c.withDefaults()
	if err := c.check(); err != nil {
		return nil, err
	}
	log := c.Log.With("link", c.Link)
	r := &Receiver{
		cfg: c, log: log, codec: fec.NewCodec(), digester: frame.NewDigester(), queue: newQueue(),
		keeper: newKeeper(log), shardLimit: c.MemoryBytes / shardShare, scratch: make([]byte, 0, frame.MaxBytes),
	}
	r.memory.limit = c.MemoryBytes - r.shardLimit
	for _, k := range c.Keys {
		ring, err := openKeyring(c, k)
		if err != nil {
			return nil, fmt.Errorf("recv: link %q: key %d: %w", c.Link, k.ID, err)
		}
		r.keys = append(r.keys, ring)
	}
	r.out = &deliverer{
		sink: c.Sink, queue: r.queue, memory: &r.memory, buffers: &r.buffers, errors: &r.farErrors,
		wake: make(chan struct{}, 1),
	}
	r.loadPositions(c.Positions, c.Open)
	return r, nil
}

// Run receives until ctx ends, hands over for at most 5 s what was already in
// order, and returns nil; any other end is an error: the connection was
// closed, or the sink could not record a gap. Run may be called once.
func (r *Receiver) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := r.cfg.Conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("recv: link %q: %w", r.cfg.Link, err)
	}
	r.prepareSocket()
	rd := newReader(r.cfg.Conn)
	var wg sync.WaitGroup
	start := func(run func(context.Context) error) {
		wg.Go(func() {
			if err := run(ctx); err != nil {
				cancel(fmt.Errorf("recv: link %q: %w", r.cfg.Link, err))
			}
		})
	}
	start(rd.run)
	start(r.out.run)
	start(func(ctx context.Context) error { r.keeper.run(ctx); return nil })
	r.loop(ctx, rd)
	r.queue.close()
	wg.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (r *Receiver) prepareSocket() {
	granted, err := growBuffer(r.cfg.Conn)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stats.ReceiveBuffer = granted
	switch {
	case err != nil:
		r.log.Warn("receive buffer", "err", err)
	case granted > 0 && granted < wantBuffer:
		r.log.Warn("receive buffer is smaller than wanted: bursts will be lost; raise net.core.rmem_max or grant CAP_NET_ADMIN",
			"granted", granted, "wanted", wantBuffer)
	}
}

// loop owns everything between chunk and queue.
func (r *Receiver) loop(ctx context.Context, rd *reader) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case c := <-rd.full:
			r.chunk(c)
			rd.free <- c // never blocks: as many places as chunks
		case <-t.C:
			r.readFirst(rd)
			r.tick()
		case <-ctx.Done():
			r.leave()
			return
		}
	}
}

// readFirst works through what has been read: nothing is given up for lost
// that waits in our own hands.
func (r *Receiver) readFirst(rd *reader) {
	for range chunkCount {
		select {
		case c := <-rd.full:
			r.chunk(c)
			rd.free <- c
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

// chunk works through what one read brought.
func (r *Receiver) chunk(c *chunk) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	for _, p := range c.packets {
		r.datagram(c.buf[p.off : p.off+p.size])
	}
	if c.hasDrop {
		r.drops(c.drops)
	}
	r.expireBlocks()
	r.stats.MemoryMax = max(r.stats.MemoryMax, r.memory.used.Load()+r.pool.inUse)
}

// drops follows the kernel's counter, which is 32 bits and starts with the
// socket.
func (r *Receiver) drops(n uint32) {
	r.stats.KernelDrops += uint64(n - r.dropBase)
	r.dropBase = n
}

// tick does what time asks for.
func (r *Receiver) tick() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.turn()
	r.expireBlocks()
	for _, id := range r.out.lost() {
		if s := r.seriesOf(id.Epoch, id.Class); !s.holes.has(id.Seq) {
			s.holes.add(id.Seq, id.Seq)
		}
	}
	for _, s := range r.series {
		r.expireHoles(s)
	}
	if r.now.Sub(r.storedAt) >= windowStored {
		r.storeWindow()
	}
	r.watchSilence()
	r.measureRate()
}

func (r *Receiver) storeWindow() {
	r.storedAt = r.now
	x := r.newest()
	if x == nil || x.key.mark.Session != x.id || x.key.mark.Counter == x.window.Top() {
		return
	}
	x.key.mark.Counter = x.window.Top()
	r.keeper.later(x.key.file, x.key.mark)
}

func (r *Receiver) watchSilence() {
	if r.silent || r.state(r.now) != StateSilent {
		return
	}
	r.silent = true
	r.log.Warn("link is silent: no heartbeat", "since", r.stats.LastHeartbeat, "alarm_after", r.cfg.AlarmAfter)
}

func (r *Receiver) measureRate() {
	d := r.now.Sub(r.rateAt)
	if d < rateOver {
		return
	}
	r.stats.BitsPerSecond = float64(r.stats.Bytes-r.rateBytes) * 8 / d.Seconds()
	r.rateAt, r.rateBytes = r.now, r.stats.Bytes
}

// leave stores the window's top, so that nothing received can be replayed
// after a restart.
func (r *Receiver) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = time.Now()
	x := r.newest()
	if x == nil || x.key.mark.Session != x.id {
		return
	}
	x.key.mark.Counter = x.window.Top()
	if err := r.keeper.store(x.key.file, x.key.mark); err != nil {
		r.log.Warn("floor not stored", "err", err)
	}
}
