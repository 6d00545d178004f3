package send

import (
	"context"
	"slices"
	"time"
)

// maxSpread bounds the small blocks whose parity waits: 50 ms of blocks closed
// every 2 ms.
const maxSpread = 24

// stages is the number of parts in which a small block's parity leaves.
const stages = 3

// spreadStages says when the parts of a small block's parity leave after its
// data (design): bursts are shorter than the whole.
func spreadStages() [stages]time.Duration {
	return [stages]time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond}
}

// spreader holds back the parity of small blocks.
type spreader struct {
	waiting []spreading
}

type spreading struct {
	b      *block
	closed time.Time
	stage  int
	sent   int // shards that have left
}

// at is when the next stage of the block is due.
func (x *spreading) at() time.Time { return x.closed.Add(spreadStages()[x.stage]) }

func (v *spreader) add(ctx context.Context, st *stream, b *block, now time.Time) error {
	if len(v.waiting) >= maxSpread {
		if err := v.rest(ctx, st, 0); err != nil {
			return err
		}
	}
	v.waiting = append(v.waiting, spreading{b: b, closed: now, sent: b.shape.Data})
	return nil
}

// due sends the stages that are due.
func (v *spreader) due(ctx context.Context, st *stream, now time.Time) error {
	for i := 0; i < len(v.waiting); {
		x := &v.waiting[i]
		for x.stage < stages && !now.Before(x.at()) {
			if err := v.stage(ctx, st, x); err != nil {
				return err
			}
		}
		if x.stage < stages {
			i++
			continue
		}
		v.drop(st, i)
	}
	return nil
}

func (v *spreader) stage(ctx context.Context, st *stream, x *spreading) error {
	x.stage++
	to := x.b.shape.Data + (x.b.shape.Parity*x.stage+stages-1)/stages
	err := st.emitRange(ctx, x.b, x.sent, to)
	x.sent = to
	return err
}

// rest sends all that remains of block i at once.
func (v *spreader) rest(ctx context.Context, st *stream, i int) error {
	x := &v.waiting[i]
	if err := st.emitRange(ctx, x.b, x.sent, x.b.total()); err != nil {
		return err
	}
	v.drop(st, i)
	return nil
}

func (v *spreader) flush(ctx context.Context, st *stream) error {
	for len(v.waiting) > 0 {
		if err := v.rest(ctx, st, 0); err != nil {
			return err
		}
	}
	return nil
}

func (v *spreader) drop(st *stream, i int) {
	st.giveBlock(v.waiting[i].b)
	v.waiting = slices.Delete(v.waiting, i, i+1)
}

func (v *spreader) deadline(d time.Time) time.Time {
	for i := range v.waiting {
		d = earlier(d, v.waiting[i].at())
	}
	return d
}

func (v *spreader) lowest(low uint64) uint64 {
	for i := range v.waiting {
		low = min(low, v.waiting[i].b.number)
	}
	return low
}
