package spool

import (
	"context"
	"errors"
	"fmt"
)

// waiter connects one call of Append with the writer.
type waiter struct {
	result chan appended
	done   func(seq uint64, err error)
}

type appended struct {
	seq uint64
	err error
}

func newWaiter() *waiter {
	w := &waiter{result: make(chan appended, 1)}
	w.done = func(seq uint64, err error) { w.result <- appended{seq, err} }
	return w
}

// Append adds one entry, the concatenation of parts, and returns its sequence
// when it is durable. weight is what the entry counts for in the running sum.
// The parts may be used again when Append returns.
//
// When ctx ends first, the entry is withdrawn and the context's error returned,
// unless it is being written at that moment: then Append waits for the outcome.
func (l *Log) Append(ctx context.Context, weight uint32, parts ...[]byte) (uint64, error) {
	w, _ := l.waiters.Get().(*waiter)
	if err := l.enqueue(ctx, pending{parts: parts, weight: weight, done: w.done, owner: w}); err != nil {
		l.waiters.Put(w)
		return 0, err
	}
	res, ok := l.await(ctx, w)
	if !ok {
		return 0, fmt.Errorf("spool: waiting for the disk: %w", ctx.Err())
	}
	l.waiters.Put(w)
	return res.seq, res.err
}

// await gives the result of w; ok is false when the entry was withdrawn.
func (l *Log) await(ctx context.Context, w *waiter) (res appended, ok bool) {
	select {
	case res = <-w.result:
		return res, true
	case <-ctx.Done():
	}
	if l.queue.withdraw(w) {
		return appended{}, false
	}
	res = <-w.result
	return res, !errors.Is(res.err, errWithdrawn)
}

// AppendAsync adds one entry, the concatenation of parts, and returns as soon as
// it is queued. It blocks while Options.QueueBytes are in use and, under Refuse,
// while nothing can be written, until ctx ends. An error means that the entry was
// not taken and done will not be called.
//
// done is called exactly once, in the order of appending, by the log's writer: it
// must not block and must not call Append. Its error is nil when the entry is
// durable under seq. The parts belong to the log until then.
func (l *Log) AppendAsync(ctx context.Context, weight uint32, done func(seq uint64, err error), parts ...[]byte) error {
	return l.enqueue(ctx, pending{parts: parts, weight: weight, done: done})
}

func (l *Log) enqueue(ctx context.Context, p pending) error {
	for _, part := range p.parts {
		p.bytes += int64(len(part))
	}
	if limit := l.opts.entryLimit(); p.bytes > limit {
		return fmt.Errorf("spool: %d bytes, at most %d fit: %w", p.bytes, limit, ErrTooLarge)
	}
	return l.queue.put(ctx, p)
}
