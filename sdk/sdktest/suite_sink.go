package sdktest

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/sdk"
)

// SinkSuite tells the suite what the sink under test takes.
type SinkSuite struct {
	Options
	// Record is a record that the sink can deliver; its ID is not used.
	Record func(i int) sdk.Record
}

// Sink holds a sink to the contract. construct returns a new one each time.
func Sink(t *testing.T, construct func() sdk.Sink, s SinkSuite) {
	t.Helper()
	filled := s.filled(t, sdk.KindSink)
	c := common{
		kind: sdk.KindSink, config: filled.Config,
		construct: func() sdk.Plugin { return construct() },
		open:      func(t *testing.T) *border { t.Helper(); return openSink(t, construct(), s.Options).border },
		setup:     func(t *testing.T) sdk.Setup { t.Helper(); return s.filled(t, sdk.KindSink).setup() },
		run: func(ctx context.Context, b *border) error {
			return b.client.(sdk.Sink).Run(ctx, nil, newOutlet()) // made as one
		},
	}
	c.test(t)
	k := sinkSuite{SinkSuite: s, construct: construct}
	c.sub(t, "deliveries are acknowledged", k.deliver)
	c.sub(t, "late deliveries are taken", k.late)
	c.sub(t, "garbage is rejected and harms nothing else", k.garbage)
	c.sub(t, "the end of deliveries is the end of run", k.finish)
	c.sub(t, "drain ends run", k.drain)
	c.sub(t, "cancel ends run promptly", k.cancel)
}

type sinkSuite struct {
	SinkSuite
	construct func() sdk.Sink
}

func (k *sinkSuite) start(t *testing.T) *SinkHarness {
	t.Helper()
	return NewSink(t, k.construct(), k.Options)
}

func (k *sinkSuite) records(from, n int) []sdk.Record {
	recs := make([]sdk.Record, n)
	for i := range recs {
		recs[i] = k.Record(from + i)
	}
	return recs
}

func (k *sinkSuite) deliver(t *testing.T) {
	h := k.start(t)
	const deliveries = 50
	var last uint64
	for i := range deliveries {
		last = h.Deliver(t, k.records(i*bulkCount/deliveries, bulkCount/deliveries)...)
	}
	h.WaitAck(t, last)
	if r := h.Rejections(); len(r) > 0 {
		t.Errorf("%d records of SinkSuite.Record were rejected, the first with %v", len(r), r[0].Err)
	}
	if asked := h.Refused(); len(asked) > 0 {
		t.Errorf("the sink asked for %q beyond its grants", asked)
	}
	h.Stop(t)
}

func (k *sinkSuite) late(t *testing.T) {
	h := k.start(t)
	h.WaitAck(t, h.DeliverLate(t, k.records(0, 2)...))
	h.Stop(t)
}

// garbage delivers damaged batches between good ones. Each must lead to a rejection with a reason, be acknowledged, and
// leave the good ones alone.
func (k *sinkSuite) garbage(t *testing.T) {
	h := k.start(t)
	good := h.Batch(t, k.records(0, 3)...)
	bad := damaged(good)
	var numbers []uint64
	for _, raw := range bad {
		numbers = append(numbers, h.DeliverBatch(raw))
		h.Deliver(t, k.records(0, 1)...)
	}
	h.WaitAck(t, h.Deliver(t, k.records(0, 1)...))
	rejected := map[uint64]bool{}
	for _, r := range h.Rejections() {
		rejected[r.Number] = true
		if r.Err == nil || r.Err.Detail == "" {
			t.Errorf("delivery %d record %d was rejected without a reason", r.Number, r.Record)
		}
		if !slices.Contains(numbers, r.Number) {
			t.Errorf("delivery %d is good and was rejected: %v", r.Number, r.Err)
		}
	}
	for i, n := range numbers {
		if !rejected[n] {
			t.Errorf("damaged batch %d was acknowledged without a rejection: % x", i, bad[i][:min(len(bad[i]), 64)])
		}
	}
	h.Stop(t)
}

// damaged are batches that cannot be read: noise (the seed is fixed), cuts and wrong counts.
func damaged(good []byte) [][]byte {
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // reproducible, protects nothing
	noise := make([]byte, 300)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	more := slices.Clone(good)
	more[28]++ // one record more than there is
	fewer := slices.Clone(good)
	fewer[28]-- // bytes behind the last record
	version := slices.Clone(good)
	version[2] = 99
	squeezed := slices.Clone(good)
	squeezed[3] = 1 // says zstd, is not
	return [][]byte{{}, noise, good[:20], good[:len(good)-1], append(slices.Clone(good), 0), more, fewer, version, squeezed}
}

func (k *sinkSuite) finish(t *testing.T) {
	h := k.start(t)
	last := h.Deliver(t, k.records(0, bulkCount)...)
	if err := h.Finish(t); err != nil {
		t.Errorf("run after the last delivery: %v", err)
	}
	if h.Acked() != last {
		t.Errorf("Run returned with deliveries acknowledged through %d of %d", h.Acked(), last)
	}
	h.Stop(t)
}

func (k *sinkSuite) drain(t *testing.T) {
	h := k.start(t)
	h.WaitAck(t, h.Deliver(t, k.records(0, 1)...))
	if err := h.Drain(t); err != nil {
		t.Errorf("run after drain: %v", err)
	}
	h.Stop(t)
}

func (k *sinkSuite) cancel(t *testing.T) {
	h := k.start(t)
	for i := range 10 {
		h.Deliver(t, k.records(i*100, 100)...)
	}
	h.run.cancel()
	_ = h.border.wait(t, h.run, promptly) // the error of a cancelled Run says nothing
}
