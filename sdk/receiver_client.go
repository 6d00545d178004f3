package sdk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// receiverClient is a Receiver in the core that stands for one in a plugin process.
type receiverClient struct {
	pluginClient
	rpc    proto.ReceiverClient
	credit int64 // bytes, per stream
}

// Run drives the plugin's Run: it passes each batch to out and each decision back. It opens a stream per class. The
// stream of the bulk class is the Run; when another breaks, the plugin hears of it with its next batch of that class.
func (c *receiverClient) Run(ctx context.Context, _ Network, out Intake) error {
	streams, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { _ = c.lane(streams, ClassCritical, out) })
	err := c.lane(streams, ClassBulk, out)
	cancel()
	wg.Wait()
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// lane is one class's stream from beginning to end.
func (c *receiverClient) lane(ctx context.Context, class Class, out Intake) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := c.open(ctx, class)
	if err != nil {
		return err
	}
	return pump(ctx, cancel, s, class, out, newAckQueue(c.credit))
}

type clientStream = grpc.BidiStreamingClient[proto.FromCore, proto.Batch]

func (c *receiverClient) open(ctx context.Context, class Class) (clientStream, error) {
	s, err := c.rpc.Run(ctx)
	if err != nil {
		return nil, fromStatus(err)
	}
	open := &proto.Open{Class: uint32(class), CreditBytes: uint64(c.credit)}
	err = s.Send(&proto.FromCore{Kind: &proto.FromCore_Open{Open: open}})
	if err != nil && !errors.Is(err, io.EOF) { // after io.EOF Recv reports why the stream broke
		return nil, fromStatus(err)
	}
	return s, nil
}

// pump moves batches one way and acknowledgements the other until the stream ends, or out refuses. It ends the stream,
// whose context is ctx, before it waits: an acknowledgement that the plugin does not read is given up only then.
func pump(ctx context.Context, end context.CancelFunc, s clientStream, class Class, out Intake, acks *ackQueue) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer end()
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
			return &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("batch of %d bytes, the limit is %d", len(m.GetData()), MaxBatchBytes)}
		}
		decided, err := acks.expect(int64(len(m.GetData())))
		if err != nil {
			return err
		}
		if err := out.Deliver(ctx, class, m.GetData(), decided); err != nil {
			return err
		}
	}
}

// maxAnswers is how many answers may wait for a plugin to read them (ours: a plugin that reads has a handful; these take
// 2 MiB at most, with their reasons).
const maxAnswers = 8192

// ackQueue turns decisions, which come in order from the spool's writer, into cumulative acknowledgements. Neighbours
// that were kept are joined, so it holds few entries; a plugin whose batches are all refused and that does not read
// why is cut off at maxAnswers.
type ackQueue struct {
	wake    chan struct{}
	credit  int64
	pending atomic.Int64 // bytes of batches that are not decided

	mu    sync.Mutex // guards what follows
	count uint64
	queue []ackRun
}

func newAckQueue(credit int64) *ackQueue {
	return &ackQueue{wake: make(chan struct{}, 1), credit: credit}
}

type ackRun struct {
	through uint64
	err     error
}

// expect notes a batch of n bytes and refuses a plugin that sends more than it has credit for, or that does not read its
// answers: both lie in the core's memory.
func (q *ackQueue) expect(n int64) (func(error), error) {
	if waiting := q.waiting(); waiting > maxAnswers {
		return nil, &Error{Code: CodeRefused, Detail: fmt.Sprintf("the receiver does not read its answers, %d wait", waiting)}
	}
	if p := q.pending.Add(n); p > q.credit && p > n {
		return nil, &Error{Code: CodeRefused, Detail: fmt.Sprintf("the receiver sent %d bytes with a credit of %d", p, q.credit)}
	}
	return func(err error) {
		q.pending.Add(-n)
		q.decided(err)
	}, nil
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

func (q *ackQueue) waiting() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.queue)
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
	a.Error = errorMessage(asError(r.err))
	return a
}
