package gateway

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// intake is the Intake of one start of one receiver: batches go to the spool as they are, and a decision goes back
// only when the spool has made it.
//
// It keeps the slice that it is given until the decision. That is more than sdk.Intake allows, and holds because the
// gRPC client, its only caller, makes a fresh slice for each batch.
type intake struct {
	receiver string
	stream   sdk.StreamID
	origin   *origin
	counts   *receiverCounts
	taken    *atomic.Uint64 // records decided as durable or dropped in this start
}

// receiverCounts are the counters of a receiver since the core started.
type receiverCounts struct {
	batches, records, bytes atomic.Uint64 // durable
	dropped                 dropCounts
}

// Deliver checks the header and appends. An error ends the stream, and with it this start of the plugin: a plugin that
// sends what it must not is broken.
func (in *intake) Deliver(ctx context.Context, class sdk.Class, batch []byte, decided func(error)) error {
	h, _, err := sdk.ParseHeader(batch)
	if err == nil {
		err = in.check(h, class)
	}
	if err != nil {
		in.counts.dropped.add("garbage-batch", 1, 0)
		return &sdk.Error{Code: sdk.CodeRefused, Detail: in.receiver + ": " + err.Error()}
	}
	done := func(_ uint64, err error) {
		in.settle(h, len(batch), err)
		decided(outcome(err))
	}
	return in.origin.log(class).AppendAsync(ctx, h.Count, done, appendLocal(nil), batch)
}

func (in *intake) check(h sdk.Header, class sdk.Class) error {
	stream := in.stream
	stream[15] ^= byte(class)
	if h.Receiver != in.receiver {
		return fmt.Errorf("batch names receiver %q", h.Receiver)
	}
	if h.Stream != stream {
		return fmt.Errorf("batch names stream %s, expected %s", h.Stream, stream)
	}
	return nil
}

// settle counts a decision of the spool.
func (in *intake) settle(h sdk.Header, bytes int, err error) {
	if err == nil {
		in.taken.Add(uint64(h.Count))
		in.counts.batches.Add(1)
		in.counts.records.Add(uint64(h.Count))
		in.counts.bytes.Add(uint64(bytes)) //nolint:gosec // a length
		return
	}
	if errors.Is(err, spool.ErrDropped) {
		in.taken.Add(uint64(h.Count))
		in.counts.dropped.add("spool-full", 1, uint64(h.Count))
	}
}

// outcome translates the spool's decision for the plugin.
func outcome(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, spool.ErrDropped):
		return &sdk.Error{Code: sdk.CodeDropped, Detail: "the spool is full; the loss is counted"}
	default:
		return &sdk.Error{Code: sdk.CodeUnavailable, Detail: err.Error(), Retryable: true}
	}
}
