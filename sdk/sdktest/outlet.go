package sdktest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/sdk"
)

// outlet plays the spool's cursor before a sink.
type outlet struct {
	mu         sync.Mutex // guards what follows
	queue      []sdk.Delivery
	number     uint64
	through    uint64
	rejections []sdk.Rejection
	holding    string
	finished   bool
	fault      error
	changed    chan struct{} // closed and replaced at every change
}

func newOutlet() *outlet { return &outlet{changed: make(chan struct{})} }

func (o *outlet) wake() {
	close(o.changed)
	o.changed = make(chan struct{})
}

// Next returns io.EOF after finish.
func (o *outlet) Next(ctx context.Context) (sdk.Delivery, error) {
	for {
		o.mu.Lock()
		if len(o.queue) > 0 {
			d := o.queue[0]
			o.queue = o.queue[1:]
			o.mu.Unlock()
			return d, nil
		}
		finished, changed := o.finished, o.changed
		o.mu.Unlock()
		if finished {
			return sdk.Delivery{}, io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return sdk.Delivery{}, ctx.Err()
		}
	}
}

// Ack notes a cumulative acknowledgement.
func (o *outlet) Ack(_ context.Context, through uint64, rejected ...sdk.Rejection) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.wake()
	if through < o.through || through > o.number {
		o.fault = fmt.Errorf("acknowledged through %d, after %d, of %d deliveries", through, o.through, o.number)
		return nil
	}
	o.through = through
	o.rejections = append(o.rejections, rejected...)
	return nil
}

// Hold notes the reason.
func (o *outlet) Hold(_ context.Context, reason string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.wake()
	o.holding = reason
	return nil
}

func (o *outlet) deliver(d sdk.Delivery) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.wake()
	o.number++
	d.Number = o.number
	o.queue = append(o.queue, d)
	return o.number
}

func (o *outlet) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.wake()
	o.finished = true
}

type sinkState struct {
	through    uint64
	rejections []sdk.Rejection
	holding    string
	fault      error
	changed    <-chan struct{}
}

func (o *outlet) state() sinkState {
	o.mu.Lock()
	defer o.mu.Unlock()
	return sinkState{
		through: o.through, rejections: slices.Clone(o.rejections), holding: o.holding, fault: o.fault, changed: o.changed,
	}
}
