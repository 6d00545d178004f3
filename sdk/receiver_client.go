package sdk

import (
	"context"
	"errors"
	"io"
	"sync"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// receiverClient is a Receiver in the core that stands for one in a plugin process.
type receiverClient struct {
	pluginClient
	rpc proto.ReceiverClient
}

// Run drives the plugin's Run: it passes each batch to out and each decision back. It opens a stream per class.
func (c *receiverClient) Run(ctx context.Context, _ Network, out Intake) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	bulk, err := c.open(ctx, ClassBulk)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		// The class is a lane of the same Run; when it breaks the plugin falls back to the bulk lane.
		if s, err := c.open(ctx, ClassCritical); err == nil {
			_ = pump(ctx, s, ClassCritical, out)
		}
	})
	err = pump(ctx, bulk, ClassBulk, out)
	cancel()
	wg.Wait()
	return err
}

type clientStream = grpc.BidiStreamingClient[proto.FromCore, proto.Batch]

func (c *receiverClient) open(ctx context.Context, class Class) (clientStream, error) {
	s, err := c.rpc.Run(ctx)
	if err != nil {
		return nil, fromStatus(err)
	}
	open := &proto.Open{Class: uint32(class), CreditBytes: DefaultCredit}
	if err := s.Send(&proto.FromCore{Kind: &proto.FromCore_Open{Open: open}}); err != nil {
		return nil, fromStatus(err)
	}
	return s, nil
}

// pump moves batches one way and acknowledgements the other until the stream ends.
func pump(ctx context.Context, s clientStream, class Class, out Intake) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	acks := &ackQueue{wake: make(chan struct{}, 1)}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { acks.run(ctx, s) })
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fromStatus(err)
		}
		if len(m.GetData()) > MaxBatchBytes {
			return &Error{Code: CodeTooLarge, Detail: "batch exceeds the limit"}
		}
		if err := out.Deliver(ctx, class, m.GetData(), acks.decided); err != nil {
			return err
		}
	}
}

// ackQueue turns decisions, which come in order from the spool's writer, into cumulative acknowledgements. Neighbours
// with the same outcome are joined, so it holds few entries.
type ackQueue struct {
	wake chan struct{}

	mu    sync.Mutex // guards what follows
	count uint64
	queue []ackRun
}

type ackRun struct {
	through uint64
	err     error
}

func (q *ackQueue) decided(err error) {
	q.mu.Lock()
	q.count++
	if n := len(q.queue); n > 0 && q.queue[n-1].err == nil && err == nil {
		q.queue[n-1].through = q.count
	} else {
		q.queue = append(q.queue, ackRun{through: q.count, err: err})
	}
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *ackQueue) take() []ackRun {
	q.mu.Lock()
	defer q.mu.Unlock()
	runs := q.queue
	q.queue = nil
	return runs
}

func (q *ackQueue) run(ctx context.Context, s clientStream) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.wake:
		}
		for _, r := range q.take() {
			if err := s.Send(&proto.FromCore{Kind: &proto.FromCore_Ack{Ack: r.message()}}); err != nil {
				return // Recv reports why
			}
		}
	}
}

func (r ackRun) message() *proto.Ack {
	a := &proto.Ack{Through: r.through}
	if r.err == nil {
		return a
	}
	var e *Error
	if !errors.As(r.err, &e) {
		e = &Error{Code: CodeInternal, Detail: r.err.Error()}
	}
	a.Error = errorMessage(e)
	return a
}
