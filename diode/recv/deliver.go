package recv

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// drainFor is how long Run, when stopped, still hands over what was in order:
// what is dropped then would be a gap that nobody fills.
const drainFor = 5 * time.Second

// deliverer hands batches and gaps to the sink, one after the other.
type deliverer struct {
	sink    Sink
	queue   *queue
	memory  *memory
	buffers *buffers
	errors  *atomic.Uint64

	mu     sync.Mutex      // guards failed and told
	failed []failure       // not stored by the sink; at most as many as memory holds
	told   []diode.BatchID // those that were reported, for the order to take back
	wake   chan struct{}   // capacity 1: something failed
}

// run delivers until the queue is closed and empty, or for drainFor after ctx
// ended.
func (d *deliverer) run(ctx context.Context) error {
	ctx, cancel := drainContext(ctx)
	defer cancel()
	for {
		if err := d.reportFailed(ctx); err != nil {
			return err
		}
		x, ok, done := d.queue.pop()
		if done {
			return nil
		}
		if !ok {
			select {
			case <-d.queue.ready:
			case <-d.wake:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		if err := d.one(ctx, x); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// drainContext ends drainFor after ctx. The function it returns waits for what
// it started.
func drainContext(ctx context.Context) (context.Context, func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		t := time.NewTimer(drainFor)
		defer t.Stop()
		select {
		case <-t.C:
			cancel()
		case <-late.Done():
		}
	})
	return late, func() {
		cancel()
		if !stop() {
			<-ended
		}
	}
}

func (d *deliverer) one(ctx context.Context, x item) error {
	if x.isGap {
		return d.gap(ctx, x.gap)
	}
	b := x.batch
	var once sync.Once
	done := func(err error) {
		once.Do(func() { d.settle(b, err) })
	}
	if err := d.sink.Deliver(ctx, b, done); err != nil {
		if ctx.Err() != nil {
			err = nil // stopped: the batch is not durable, and nothing says that it is
		}
		once.Do(func() { d.settle(b, err) })
	}
	return nil
}

func (d *deliverer) gap(ctx context.Context, g diode.Gap) error {
	if err := d.sink.Gap(ctx, g); err != nil && ctx.Err() == nil {
		return fmt.Errorf("recv: gap %d-%d of class %d not recorded: %w", g.First, g.Last, g.Class, err)
	}
	return nil
}

// failure is a batch, without its data, that the sink could not store.
type failure struct {
	batch  diode.Batch
	reason string
}

// settle takes a batch back from the sink.
func (d *deliverer) settle(b diode.Batch, err error) {
	d.memory.release(batchCost(b.Data))
	d.buffers.put(b.Data)
	if err == nil {
		return
	}
	d.errors.Add(1)
	b.Data = nil
	f := failure{batch: b, reason: diode.ReasonFarIO}
	var named interface{ GapReason() string }
	if errors.As(err, &named) {
		f.reason = named.GapReason()
	}
	d.mu.Lock()
	d.failed = append(d.failed, f)
	d.mu.Unlock()
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// reportFailed records the batches that the sink could not store as gaps. A
// late one is a gap already.
func (d *deliverer) reportFailed(ctx context.Context) error {
	d.mu.Lock()
	failed := d.failed
	d.failed = nil
	for _, f := range failed {
		d.told = append(d.told, f.batch.BatchID)
	}
	d.mu.Unlock()
	for _, f := range failed {
		b := f.batch
		if b.Late {
			continue
		}
		g := diode.Gap{
			Epoch: b.Epoch, Class: b.Class, First: b.Seq, Last: b.Seq, Weight: uint64(b.Weight), WeightKnown: true,
			SumAfter: b.SumBefore + uint64(b.Weight), Reason: f.reason, DeclaredAt: time.Now(),
		}
		if err := d.gap(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// lost returns the batches that became gaps since the last call, so that a
// copy of them is not taken for a duplicate.
func (d *deliverer) lost() []diode.BatchID {
	d.mu.Lock()
	defer d.mu.Unlock()
	told := d.told
	d.told = nil
	return told
}
