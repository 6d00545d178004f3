package send

import "time"

// interleaveHold is how long full blocks wait for company before their frames
// leave (design).
const interleaveHold = 20 * time.Millisecond

// backlogHold is how long they wait while the source has more: far above the
// time that a group takes to fill, and below what an operator notices (ours).
const backlogHold = 500 * time.Millisecond

// interleaver lets the frames of several full blocks alternate on the wire, so
// that a burst of losses is shared among them. With depth 1 it is not used.
type interleaver struct {
	group [maxInterleave]*block
	n     int
	since time.Time // when the oldest came
}

func (v *interleaver) add(st *stream, b *block, now time.Time) {
	if v.n == 0 {
		v.since = now
	}
	v.group[v.n] = b
	v.n++
	if v.n >= st.cfg.Interleave {
		v.flush(st)
	}
}

// flush lets go what is there, shard by shard across the blocks.
func (v *interleaver) flush(st *stream) {
	if v.n == 0 {
		return
	}
	st.out.runs.push(run{blocks: v.group, n: v.n, to: st.bulk.Data + st.bulk.Parity, give: true})
	*v = interleaver{}
}

func (v *interleaver) lowest(low uint64) uint64 {
	for _, b := range v.group[:v.n] {
		low = min(low, b.number)
	}
	return low
}
