package send

import "context"

// output holds the shards of closed blocks that are ready to leave, in order.
// A turn takes them one by one, so that no block, however large or however
// deeply interleaved, keeps a heartbeat or another class waiting.
type output struct {
	runs fifo[run]
}

// run is a range of shards of one block, or of several blocks whose shards
// alternate.
type run struct {
	blocks [maxInterleave]*block
	n      int
	from   int // next shard
	to     int // first shard that is not part of it
	turn   int // block whose shard is next
	give   bool
}

func (o *output) len() int { return o.runs.len() }

// add queues shards of one block; with give the block is not needed after
// them.
func (o *output) add(b *block, from, to int, give bool) {
	if from >= to && !give {
		return
	}
	r := run{n: 1, from: from, to: to, give: give}
	r.blocks[0] = b
	o.runs.push(r)
}

// lowest returns the lowest number of a block that waits here, at most low.
func (o *output) lowest(low uint64) uint64 {
	for i := o.runs.head; i < len(o.runs.items); i++ {
		r := &o.runs.items[i]
		for _, b := range r.blocks[:r.n] {
			low = min(low, b.number)
		}
	}
	return low
}

// emitNext sends the next shard of the queue and returns what it takes on the
// wire, 0 when there was none left in its run.
func (st *stream) emitNext(ctx context.Context) (int, error) {
	r := st.out.runs.front()
	if r.from >= r.to {
		st.endRun()
		return 0, nil
	}
	b := r.blocks[r.turn]
	h := b.header(r.from, b.shape.ShardBytes)
	h.Class = uint8(st.class)
	if err := st.emit(ctx, &h, b.shards[r.from]); err != nil {
		return 0, err
	}
	if r.turn++; r.turn == r.n {
		r.turn = 0
		r.from++
	}
	if r.from == r.to {
		st.endRun()
	}
	return st.frameCost(b.shape.ShardBytes), nil
}

func (st *stream) endRun() {
	r := st.out.runs.pop()
	if !r.give {
		return
	}
	for _, b := range r.blocks[:r.n] {
		st.giveBlock(b)
	}
}
