package sdk

import (
	"context"
	"fmt"
	"sync"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// lane is the plugin's end of one receiver stream: it sends batches while credit lasts and matches the cumulative
// acknowledgements to what is outstanding.
type lane struct {
	send func(*proto.Batch) error

	// sending is a mutex that a context can give up on: gRPC allows one Send at a time, and the order on the wire must be
	// the order in waiting.
	sending chan struct{}

	deciding sync.Mutex // held while batches are taken from waiting and decided, so that this happens in order

	mu      sync.Mutex // guards what follows
	credit  int64
	freed   chan struct{} // closed and replaced when credit comes back or the lane ends
	waiting []outstanding
	through uint64 // decided so far
	ended   error
}

type outstanding struct {
	bytes   int64
	decided func(error)
}

func newLane(credit uint64, send func(*proto.Batch) error) *lane {
	return &lane{send: send, credit: int64(min(credit, 1<<40)), freed: make(chan struct{}), sending: make(chan struct{}, 1)}
}

func (l *lane) deliver(ctx context.Context, batch []byte, decided func(error)) error {
	if len(batch) > MaxBatchBytes {
		return &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("batch of %d bytes, the limit is %d", len(batch), MaxBatchBytes)}
	}
	select {
	case l.sending <- struct{}{}:
		defer func() { <-l.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := l.reserve(ctx, int64(len(batch)), decided); err != nil {
		return err
	}
	if err := l.send(&proto.Batch{Data: batch}); err != nil {
		l.end(&Error{Code: CodeGone, Detail: err.Error(), Retryable: true})
	}
	return nil // decided has been or will be called
}

// reserve waits for credit. A batch larger than the whole credit goes when nothing else is outstanding.
func (l *lane) reserve(ctx context.Context, n int64, decided func(error)) error {
	for {
		l.mu.Lock()
		if l.ended != nil {
			defer l.mu.Unlock()
			return l.ended
		}
		if n <= l.credit || len(l.waiting) == 0 {
			l.credit -= n
			l.waiting = append(l.waiting, outstanding{bytes: n, decided: decided})
			l.mu.Unlock()
			return nil
		}
		freed := l.freed
		l.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// acknowledge decides everything up to the through-th batch of the lane. An acknowledgement beyond what was sent is
// cut to it: a faulty core must not make a plugin panic.
func (l *lane) acknowledge(through uint64, err error) {
	l.deciding.Lock()
	defer l.deciding.Unlock()
	l.mu.Lock()
	n := 0
	if through > l.through {
		n = int(min(through-l.through, uint64(len(l.waiting))))
	}
	done := append([]outstanding(nil), l.waiting[:n]...)
	l.waiting = append(l.waiting[:0], l.waiting[n:]...)
	l.through += uint64(n)
	for _, o := range done {
		l.credit += o.bytes
	}
	l.wake()
	l.mu.Unlock()
	for _, o := range done {
		o.decided(err)
	}
}

// end decides everything outstanding with err; later deliveries fail with it.
func (l *lane) end(err error) {
	l.deciding.Lock()
	defer l.deciding.Unlock()
	l.mu.Lock()
	if l.ended != nil {
		l.mu.Unlock()
		return
	}
	l.ended = err
	done := l.waiting
	l.waiting = nil
	l.wake()
	l.mu.Unlock()
	for _, o := range done {
		o.decided(err)
	}
}

func (l *lane) wake() {
	close(l.freed)
	l.freed = make(chan struct{})
}
