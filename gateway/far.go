package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// gapRetry is the pause before a gap that found no room is written again (ours).
const gapRetry = 200 * time.Millisecond

// far is where a link delivers: batches and gaps go to the spool of the link in stream order, and the position with
// each, so that a restart continues exactly behind the newest durable entry.
type far struct {
	origin *origin
	log    *slog.Logger
	counts *linkCounts

	mu   sync.Mutex // guards pos and lost; held across an append so that order in the spool is order of calls
	pos  []diode.Position
	lost []totals
}

// linkCounts are the counters of a receiving link since the core started.
type linkCounts struct {
	dropped dropCounts
}

func newFar(o *origin, ps []diode.Position, lost []totals, counts *linkCounts, log *slog.Logger) *far {
	f := &far{origin: o, log: log, counts: counts, pos: make([]diode.Position, len(o.logs)), lost: lost}
	for _, p := range ps {
		f.pos[p.Class] = p
	}
	return f
}

// Deliver appends one batch. The data belong to the spool until done.
func (f *far) Deliver(ctx context.Context, b diode.Batch, done func(error)) error {
	if int(b.Class) >= len(f.pos) {
		return fmt.Errorf("class %d: this node knows %d", b.Class, len(f.pos))
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	env := envelope{kind: kindLink, late: b.Late, id: b.BatchID, sumBefore: b.SumBefore, totals: f.lost[b.Class]}
	next := f.pos[b.Class]
	if !b.Late {
		next = diode.Position{Epoch: b.Epoch, Class: b.Class, Seq: b.Seq, SumAfter: b.SumBefore + uint64(b.Weight)}
	}
	env.position = next
	decided := func(_ uint64, err error) {
		if errors.Is(err, spool.ErrDropped) {
			f.counts.dropped.add("far-spool-full", 1, uint64(b.Weight))
			f.log.Warn("batch from the link dropped: spool is full", "batch", b.BatchID.String(), "records", b.Weight)
		}
		done(err)
	}
	err := f.origin.log(sdk.Class(b.Class)).AppendAsync(ctx, b.Weight, decided, env.append(nil), b.Data)
	if err == nil {
		f.pos[b.Class] = next
	}
	return err
}

// Gap records a hole in its place in the stream. A full spool makes it wait: a loss must be written down before anything
// behind it is delivered.
func (f *far) Gap(ctx context.Context, g diode.Gap) error {
	if int(g.Class) >= len(f.pos) {
		return fmt.Errorf("class %d: this node knows %d", g.Class, len(f.pos))
	}
	for {
		err := f.appendGap(ctx, g)
		if !errors.Is(err, spool.ErrDropped) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(gapRetry):
		}
	}
}

func (f *far) appendGap(ctx context.Context, g diode.Gap) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	lost := f.lost[g.Class]
	if g.Last >= g.First {
		lost.Batches += g.Last - g.First + 1
	}
	lost.Records += g.Weight
	env := envelope{kind: kindGap, id: diode.BatchID{Epoch: g.Epoch, Class: g.Class, Seq: g.First}, gap: g, totals: lost}
	env.position = afterGap(f.pos[g.Class], g)
	if _, err := f.origin.log(sdk.Class(g.Class)).Append(ctx, 0, env.append(nil)); err != nil {
		return err
	}
	f.pos[g.Class], f.lost[g.Class] = env.position, lost
	f.log.Warn("gap on the link", "first", g.First, "last", g.Last, "records", g.Weight, "records_known", g.WeightKnown, "reason", g.Reason)
	return nil
}

// afterGap is the position behind a gap. What lies behind the position already, and the unknown tail of an epoch that
// has ended, does not move it.
func afterGap(p diode.Position, g diode.Gap) diode.Position {
	if g.Last == 0 || p.Epoch == g.Epoch && g.Last <= p.Seq {
		return p
	}
	if p.Epoch != g.Epoch {
		p = diode.Position{Epoch: g.Epoch, Class: g.Class}
	}
	p.Seq, p.SumAfter = g.Last, p.SumAfter+g.Weight
	return p
}

func (f *far) totals() totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	var t totals
	for _, l := range f.lost {
		t.Batches += l.Batches
		t.Records += l.Records
	}
	return t
}
