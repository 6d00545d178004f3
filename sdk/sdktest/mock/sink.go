package mock

import (
	"context"
	"errors"
	"io"

	"github.com/sluice-gateway/sluice/sdk"
)

// Sink reads every record and forgets it.
type Sink struct{ base }

// NewSink makes a sink with a fault.
func NewSink(f Fault) *Sink { return &Sink{newBase(sdk.KindSink, f)} }

// Run fails as the fault says, or works.
func (s *Sink) Run(ctx context.Context, network sdk.Network, in sdk.Outlet) error {
	defer close(s.done)
	if over, err := s.misbehave(ctx, network); over {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	drained := make(chan struct{})
	defer func() { <-drained }()
	defer cancel()
	go func() {
		defer close(drained)
		select {
		case <-s.draining:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.read(ctx, in)
	select {
	case <-s.draining:
		return nil
	default:
		return err
	}
}

func (s *Sink) read(ctx context.Context, in sdk.Outlet) error {
	var dec sdk.Decoder
	for {
		d, err := in.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if s.fault == GarbageBatch {
			d.Number += 1000
		}
		var rejected []sdk.Rejection
		if record, err := check(&dec, d.Data); err != nil && s.fault != LoseGarbage {
			e := &sdk.Error{Code: sdk.CodeDropped, Detail: err.Error()}
			rejected = append(rejected, sdk.Rejection{Number: d.Number, Record: record, Err: e})
		}
		if err := in.Ack(ctx, d.Number, rejected...); err != nil {
			return err
		}
	}
}

// check reads a batch and returns the position of the first record that cannot be read.
func check(dec *sdk.Decoder, raw []byte) (uint32, error) {
	if _, err := dec.Open(raw); err != nil {
		return 0, err
	}
	var r sdk.Record
	for i := uint32(0); ; i++ {
		more, err := dec.Next(&r)
		if err != nil || !more {
			return i, err
		}
	}
}
