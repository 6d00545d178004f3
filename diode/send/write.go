package send

import (
	"context"
	"time"
)

// write puts the next piece of the current batch, at most so many bytes, into
// the open block, lets go the shards that became whole, and returns what these
// take on the wire.
func (st *stream) write(ctx context.Context, now time.Time, most int) (int, error) {
	if st.block == nil {
		st.openBlock(now)
	}
	limit := st.bulk.Data * st.shard
	if st.cur.off == 0 {
		st.block.begin(st.shard)
	}
	piece := st.cur.rest()
	st.cur.off += st.block.put(piece[:min(len(piece), most)], limit)
	st.wroteAt = now
	if st.cur.off == st.cur.size() {
		st.end()
	}
	if st.block.fill == limit {
		return 0, st.closeFull(now)
	}
	if st.cfg.Interleave > 1 {
		return 0, nil
	}
	return st.emitOpen(ctx)
}

// end notes where the batch that is now complete ends and gives its buffer
// back.
func (st *stream) end() {
	b, x := st.cur.batch, &st.cur
	if x.final {
		st.marks.add(mark{end: st.block.number + 1, seq: b.Seq, sum: b.SumBefore + uint64(b.Weight)})
	}
	st.copies.written.push(recentBatch{
		seq: b.Seq, before: b.SumBefore, sum: b.SumBefore + uint64(b.Weight), bytes: len(b.Data), end: st.block.number + 1, resent: x.kind == resent,
	})
	if x.kind == resent {
		st.stats.resent.Add(1)
		st.stats.resentBytes.Add(uint64(len(b.Data)))
	}
	st.giveBuffer()
	st.cur = outgoing{}
}

// giveBuffer gives the current batch's buffer back to where it came from.
func (st *stream) giveBuffer() {
	if st.cur.kind == first {
		st.free <- st.cur.buf
		return
	}
	st.reader.giveBack(st.cur.buf)
}

// due does what time asks of this class.
func (st *stream) due(now time.Time) error {
	st.spread.due(st, now)
	if st.inter.n > 0 && !now.Before(st.flushAt()) {
		st.inter.flush(st)
	}
	st.askCopies(now)
	if st.block == nil || st.cur.active || now.Before(st.closeAt()) {
		return nil
	}
	return st.closeByTimer(now)
}

func (st *stream) closeAt() time.Time {
	delay := st.own.MaxDelay
	if st.waiting() {
		delay = min(delay*busyFactor, maxDelay)
	}
	at := st.block.opened.Add(delay)
	if st.inter.n > 0 && at.Before(st.flushAt()) {
		return st.flushAt() // closing it would cut the group short
	}
	return at
}

// flushAt is when full blocks leave although their group is not complete: soon
// after data have stopped to come. While they come the group waits longer,
// because one that is cut short shares a burst of losses among fewer blocks;
// longest while the source has more and this process only does not get to it.
func (st *stream) flushAt() time.Time {
	if st.backlog() {
		return st.inter.since.Add(backlogHold)
	}
	return earlier(st.inter.since.Add(busyFactor*interleaveHold), st.wroteAt.Add(interleaveHold))
}

// backlog says whether the source has batches that have not been begun.
func (st *stream) backlog() bool {
	_, next, _ := st.source.Bounds()
	return st.cur.active || st.begun+1 < next
}

// deadline is when due has something to do, if nothing new comes.
func (st *stream) deadline(d time.Time) time.Time {
	if st.block != nil && !st.cur.active {
		d = earlier(d, st.closeAt())
	}
	if st.inter.n > 0 {
		d = earlier(d, st.flushAt())
	}
	d = st.spread.deadline(d)
	if st.reader.full() || st.halted(st) {
		return d
	}
	d = st.copies.deadline(d)
	if st.reader.resent > 0 {
		return d
	}
	return st.asked.deadline(d, st.liveWaits())
}

// unfinished is the lowest block of which some frame has not left yet.
func (st *stream) unfinished() uint64 {
	low := st.next
	if st.block != nil {
		low = min(low, st.block.number)
	}
	low = st.inter.lowest(low)
	low = st.out.lowest(low)
	return st.spread.lowest(low)
}

// settle tells the source how far everything has left. The transmitter's burst
// must be empty.
func (st *stream) settle(now time.Time) {
	unfinished := st.unfinished()
	st.copies.settle(unfinished, now)
	if st.marks.settle(unfinished) && st.marks.sent > st.told.Load() {
		st.told.Store(st.marks.sent)
		st.source.Sent(st.marks.sent)
	}
}

// abandon gives up everything under way after an error, and queues it to be
// sent again in order, together with what was sent shortly before since: the
// far side then sees an unbroken series.
func (st *stream) abandon(since time.Time) {
	var back []setBack
	for st.marks.marks.len() > 0 {
		m := st.marks.marks.pop()
		back = append(back, setBack{seq: m.seq, sum: m.sum, final: true})
	}
	if b := st.cur.batch; st.cur.active {
		if st.cur.kind == resent {
			st.asked.putBack(b.Seq)
		} else {
			back = append(back, setBack{seq: b.Seq, sum: b.SumBefore + uint64(b.Weight), final: st.cur.final})
		}
		st.giveBuffer()
	}
	for _, a := range st.reader.forget() {
		if a.kind == resent {
			st.asked.putBack(a.seq)
			continue
		}
		back = append(back, setBack{seq: a.seq, sum: a.sum, final: a.final})
	}
	if st.cur.off > 0 && st.block == nil {
		st.next++ // the far side waits for the rest of the batch there
	}
	st.cur, st.block = outgoing{}, nil
	st.inter, st.spread, st.out = interleaver{}, spreader{}, output{}
	for _, seq := range st.copies.rewind(since, back, &st.marks) {
		st.asked.putBack(seq)
	}
}
