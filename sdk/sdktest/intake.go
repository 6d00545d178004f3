package sdktest

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/sdk"
)

// intake plays the spool behind a receiver: it keeps what arrives and decides on it when the test says so.
type intake struct {
	mu      sync.Mutex // guards what follows
	decoder sdk.Decoder
	headers []sdk.Header
	records []sdk.Record
	next    map[sdk.StreamID]uint64 // sequence that the next batch of a stream must have
	class   map[sdk.StreamID]sdk.Class
	acked   int // records decided with nil
	held    []decision
	holding bool
	fail    *sdk.Error
	fault   error
	changed chan struct{} // closed and replaced at every change
}

type decision struct {
	records int
	decided func(error)
	err     error
}

func (in *intake) decide(d decision) {
	if d.err == nil {
		in.acked += d.records
	}
	d.decided(d.err)
}

func newIntake() *intake {
	return &intake{changed: make(chan struct{}), next: map[sdk.StreamID]uint64{}, class: map[sdk.StreamID]sdk.Class{}}
}

// Deliver keeps a decoded copy of the batch.
func (in *intake) Deliver(_ context.Context, class sdk.Class, batch []byte, decided func(error)) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer in.wake()
	n, err := in.decode(class, slices.Clone(batch))
	if err != nil {
		in.fault = err
		return err
	}
	d := decision{records: n, decided: decided}
	if in.fail != nil {
		d.err, in.fail = in.fail, nil
	}
	if in.holding {
		in.held = append(in.held, d)
		return nil
	}
	in.decide(d)
	return nil
}

func (in *intake) decode(class sdk.Class, batch []byte) (int, error) {
	h, err := in.decoder.Open(batch)
	if err != nil {
		return 0, fmt.Errorf("batch %d: %w", len(in.headers)+1, err)
	}
	if want := max(in.next[h.Stream], 1); h.First != want {
		return 0, fmt.Errorf("batch %d: first sequence %d, want %d", len(in.headers)+1, h.First, want)
	}
	if before, seen := in.class[h.Stream]; seen && before != class {
		return 0, fmt.Errorf("batch %d: class %d, its stream is of class %d", len(in.headers)+1, class, before)
	}
	in.class[h.Stream] = class
	in.next[h.Stream] = h.First + uint64(h.Count)
	in.headers = append(in.headers, h)
	for {
		var r sdk.Record
		more, err := in.decoder.Next(&r)
		if err != nil {
			return 0, fmt.Errorf("batch %d: %w", len(in.headers), err)
		}
		if !more {
			return int(h.Count), nil
		}
		r.Payload = slices.Clone(r.Payload) // a compressed body is the decoder's
		in.records = append(in.records, r)
	}
}

func (in *intake) wake() {
	close(in.changed)
	in.changed = make(chan struct{})
}

func (in *intake) hold() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.holding = true
}

func (in *intake) release() {
	in.mu.Lock()
	defer in.mu.Unlock()
	defer in.wake()
	in.holding = false
	for _, d := range in.held {
		in.decide(d)
	}
	in.held = nil
}

func (in *intake) failNext(e *sdk.Error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.fail = e
}

// state is what a test sees of an intake.
type state struct {
	records []sdk.Record
	headers []sdk.Header
	acked   int
	fault   error
	changed <-chan struct{}
}

func (in *intake) state() state {
	in.mu.Lock()
	defer in.mu.Unlock()
	return state{
		records: slices.Clip(in.records), headers: slices.Clone(in.headers),
		acked: in.acked, fault: in.fault, changed: in.changed,
	}
}
