package send

import (
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
	sent   int // shards that have been let go
}

// at is when the next stage of the block is due.
func (x *spreading) at() time.Time { return x.closed.Add(spreadStages()[x.stage]) }

func (v *spreader) add(st *stream, b *block, now time.Time) {
	if len(v.waiting) >= maxSpread {
		v.rest(st)
	}
	v.waiting = append(v.waiting, spreading{b: b, closed: now, sent: b.shape.Data})
}

// due lets go the stages that are due.
func (v *spreader) due(st *stream, now time.Time) {
	for i := 0; i < len(v.waiting); {
		x := &v.waiting[i]
		for x.stage < stages && !now.Before(x.at()) {
			x.step(st)
		}
		if x.stage < stages {
			i++
			continue
		}
		v.waiting = slices.Delete(v.waiting, i, i+1)
	}
}

func (x *spreading) step(st *stream) {
	x.stage++
	to := x.b.shape.Data + (x.b.shape.Parity*x.stage+stages-1)/stages
	st.out.add(x.b, x.sent, to, x.stage == stages)
	x.sent = to
}

// rest lets go all that remains of the oldest block.
func (v *spreader) rest(st *stream) {
	x := &v.waiting[0]
	st.out.add(x.b, x.sent, x.b.total(), true)
	v.waiting = slices.Delete(v.waiting, 0, 1)
}

func (v *spreader) flush(st *stream) {
	for len(v.waiting) > 0 {
		v.rest(st)
	}
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
