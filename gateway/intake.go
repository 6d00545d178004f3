package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

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
	answers  bool // endpoints hear what became of their records
	critical bool // all records go into the critical class, whichever the plugin chose
	log      *slog.Logger

	taken     atomic.Uint64 // records that the spool took in this start, decided or not
	undecided atomic.Int64  // batches that the plugin waits for
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
	if in.critical {
		class = sdk.ClassCritical
	}
	in.undecided.Add(1)
	done := func(_ uint64, err error) {
		in.settle(h, len(batch), err)
		decided(outcome(err))
		in.undecided.Add(-1)
	}
	if err := in.origin.log(class).AppendAsync(ctx, h.Count, done, localEnvelope(time.Now()), batch); err != nil {
		in.undecided.Add(-1)
		return err
	}
	in.taken.Add(uint64(h.Count))
	return nil
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

// settle counts a decision of the spool. What it could not write until it was closed is a loss only where nobody was
// told that the record is still due.
func (in *intake) settle(h sdk.Header, bytes int, err error) {
	switch {
	case err == nil:
		in.counts.batches.Add(1)
		in.counts.records.Add(uint64(h.Count))
		in.counts.bytes.Add(uint64(bytes))
	case errors.Is(err, spool.ErrDropped):
		in.counts.dropped.add("spool-full", 1, uint64(h.Count))
	case in.answers:
	default:
		in.counts.dropped.add("spool-closed", 1, uint64(h.Count))
		in.log.Error("records lost: the spool was closed before it could write them", "records", h.Count, "error", err)
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
