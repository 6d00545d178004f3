package send

import (
	"context"
	"time"
)

// interleaveHold is how long full blocks wait for company before their frames
// leave (design).
const interleaveHold = 20 * time.Millisecond

// interleaver lets the frames of several full blocks alternate on the wire, so
// that a burst of losses is shared among them. With depth 1 it is not used.
type interleaver struct {
	group []*block
	since time.Time // when the oldest came; zero when empty
}

func (v *interleaver) add(ctx context.Context, st *stream, b *block, now time.Time) error {
	if len(v.group) == 0 {
		v.since = now
	}
	v.group = append(v.group, b)
	if len(v.group) < st.cfg.Interleave {
		return nil
	}
	return v.flush(ctx, st)
}

// flush sends what is there, shard by shard across the blocks.
func (v *interleaver) flush(ctx context.Context, st *stream) error {
	for i := range st.bulk.Data + st.bulk.Parity {
		for _, b := range v.group {
			if err := st.emitRange(ctx, b, i, i+1); err != nil {
				return err
			}
		}
	}
	for _, b := range v.group {
		st.giveBlock(b)
	}
	v.group = v.group[:0]
	v.since = time.Time{}
	return nil
}
