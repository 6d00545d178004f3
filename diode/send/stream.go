package send

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// busyFactor: while batches keep coming, a block is given this many max delays
// to fill before the timer closes it, because a full block repairs more with
// less parity.
const busyFactor = 8

// feedDepth is how many batches of a class wait between Source.Next and the
// loop: one being sent, one ready.
const feedDepth = 2

// stream is one class: its source, its series and its blocks.
type stream struct {
	*Sender
	class   diode.Class
	own     ClassConfig
	bulk    fec.Shape // of full blocks
	source  Source
	quantum int // bytes per turn: the class's weight

	ready chan fed      // from the feeder; capacity feedDepth
	free  chan []byte   // back to the feeder; capacity feedDepth
	told  atomic.Uint64 // last Source.Sent

	cur    outgoing
	block  *block // open, or nil
	next   uint64 // number of the next block
	inter  interleaver
	spread spreader
	copies copies
	marks  progress
}

// outgoing is the batch that is being written into blocks.
type outgoing struct {
	active bool
	batch  diode.Batch
	buf    []byte // to give back to the feeder; nil for copies
	final  bool   // its last copy
	head   [frame.BatchHeaderBytes]byte
	off    int // bytes of header and data that are in blocks
}

func (o *outgoing) size() int { return len(o.head) + len(o.batch.Data) }

// rest is what must still be written, in one piece.
func (o *outgoing) rest() []byte {
	if o.off < len(o.head) {
		return o.head[o.off:]
	}
	return o.batch.Data[o.off-len(o.head):]
}

// hasWork says whether a turn would send something.
func (st *stream) hasWork(now time.Time) bool {
	return st.cur.active || st.copies.due(now) || (len(st.ready) > 0 && !st.copies.full())
}

// turn writes about one quantum of batches into blocks.
func (st *stream) turn(ctx context.Context, now time.Time) error {
	for left := st.quantum; left > 0; {
		if !st.cur.active && !st.begin(now) {
			return nil
		}
		n, err := st.write(ctx, now, left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// begin takes the next batch: copies that are due before new ones.
func (st *stream) begin(now time.Time) bool {
	for st.copies.due(now) {
		if st.beginCopy(now) {
			return true
		}
	}
	if st.copies.full() {
		return false
	}
	for {
		select {
		case f := <-st.ready:
			if len(f.batch.Data) > diode.MaxBatchBytes {
				st.leaveOut(f)
				continue
			}
			st.beginNew(f, now)
			return true
		default:
			return false
		}
	}
}

// leaveOut skips a batch that the link cannot carry; the far side names it as
// a gap, because the next one's sequence and sum pass over it.
func (st *stream) leaveOut(f fed) {
	b := f.batch
	st.stats.oversize.Add(1)
	st.log.Error("batch is too big for the link, left out", "class", st.class, "seq", b.Seq, "bytes", len(b.Data), "most", diode.MaxBatchBytes)
	st.free <- f.buf
}

func (st *stream) beginNew(f fed, now time.Time) {
	b := f.batch
	st.marks.start(b)
	final := !st.copies.repeats()
	st.start(b, f.buf, final, 0)
	st.copies.sent(b, now)
	st.stats.batches.Add(1)
	st.stats.payload.Add(uint64(len(b.Data)))
}

// beginCopy reads the next due batch again.
func (st *stream) beginCopy(now time.Time) bool {
	r, final := st.copies.take(now)
	b, err := st.source.Read(r.seq, st.copies.buf)
	if err != nil || b.Seq != r.seq || len(b.Data) > diode.MaxBatchBytes {
		st.stats.missing.Add(1)
		st.log.Debug("batch for a copy is no longer there", "class", st.class, "seq", r.seq, "err", err)
		if final {
			st.marks.add(mark{seq: r.seq, sum: r.sum})
		}
		return false
	}
	st.copies.note(b, now)
	st.stats.copies.Add(1)
	st.start(b, nil, final, frame.FlagRepeat)
	return true
}

func (st *stream) start(b diode.Batch, buf []byte, final bool, flags uint8) {
	if st.copies.repeats() && !final {
		flags |= frame.FlagCopiesFollow
	}
	h := frame.BatchHeader{
		Flags:     flags,
		Length:    uint32(len(b.Data)),
		Seq:       b.Seq,
		SumBefore: b.SumBefore,
		Weight:    b.Weight,
		Digest:    st.digester.Digest(b.Data),
		Epoch:     st.epochOf(b),
	}
	if !b.Time.IsZero() {
		h.Time = b.Time.UnixNano()
	}
	st.cur = outgoing{active: true, batch: b, buf: buf, final: final}
	h.Put(st.cur.head[:])
}

// epochOf is the epoch of a batch: that of the class unless the source says
// that it is from one before.
func (st *stream) epochOf(b diode.Batch) [16]byte {
	if b.Epoch == [16]byte{} {
		return st.own.Epoch.ID
	}
	return b.Epoch
}

// write puts the next piece of the current batch, at most so many bytes, into
// the open block and sends what became whole.
func (st *stream) write(ctx context.Context, now time.Time, most int) (int, error) {
	if st.block == nil {
		st.openBlock(now)
	}
	limit := st.bulk.Data * st.bulk.ShardBytes
	if st.cur.off == 0 {
		st.block.begin(st.bulk.ShardBytes)
	}
	piece := st.cur.rest()
	n := st.block.put(piece[:min(len(piece), most)], limit)
	st.cur.off += n
	if st.cur.off == st.cur.size() {
		st.end()
	}
	if st.block.fill == limit {
		return n, st.closeFull(ctx, now)
	}
	if st.cfg.Interleave > 1 {
		return n, nil
	}
	return n, st.emitOpen(ctx)
}

// end notes where the batch that is now complete ends and gives its buffer
// back.
func (st *stream) end() {
	b := st.cur.batch
	if st.cur.final {
		st.marks.add(mark{end: st.block.number + 1, seq: b.Seq, sum: b.SumBefore + uint64(b.Weight)})
	}
	if st.cur.buf != nil {
		st.free <- st.cur.buf
	}
	st.cur = outgoing{}
}

// due does what time asks of this class.
func (st *stream) due(ctx context.Context, now time.Time) error {
	if err := st.spread.due(ctx, st, now); err != nil {
		return err
	}
	if now.Sub(st.inter.since) >= interleaveHold {
		if err := st.inter.flush(ctx, st); err != nil {
			return err
		}
	}
	if st.block == nil || st.cur.active || now.Before(st.closeAt(now)) {
		return nil
	}
	return st.closeByTimer(ctx, now)
}

func (st *stream) closeAt(now time.Time) time.Time {
	delay := st.own.MaxDelay
	if st.hasWork(now) {
		delay = min(delay*busyFactor, maxDelay)
	}
	return st.block.opened.Add(delay)
}

// deadline is when due has something to do, if nothing new comes.
func (st *stream) deadline(now time.Time, d time.Time) time.Time {
	if st.block != nil {
		d = earlier(d, st.closeAt(now))
	}
	if len(st.inter.group) > 0 {
		d = earlier(d, st.inter.since.Add(interleaveHold))
	}
	d = st.spread.deadline(d)
	return st.copies.deadline(d)
}

// unfinished is the lowest block of which some frame has not left yet.
func (st *stream) unfinished() uint64 {
	low := st.next
	if st.block != nil {
		low = min(low, st.block.number)
	}
	for _, b := range st.inter.group {
		low = min(low, b.number)
	}
	return st.spread.lowest(low)
}

// settle tells the source how far everything has left. The transmitter's burst
// must be empty.
func (st *stream) settle() {
	if st.marks.settle(st.unfinished()) && st.marks.sent > st.told.Load() {
		st.told.Store(st.marks.sent)
		st.source.Sent(st.marks.sent)
	}
}

// abandon gives up everything under way after an error, and queues it to be
// sent again in order, together with what was sent shortly before since: the
// far side then sees an unbroken series.
func (st *stream) abandon(since time.Time) {
	var unfinished []resend
	for st.marks.marks.len() > 0 {
		m := st.marks.marks.pop()
		unfinished = append(unfinished, resend{seq: m.seq, sum: m.sum, final: true})
	}
	if b := st.cur.batch; st.cur.active {
		unfinished = append(unfinished, resend{seq: b.Seq, sum: b.SumBefore + uint64(b.Weight), final: st.cur.final})
	}
	if st.cur.buf != nil {
		st.free <- st.cur.buf
	}
	st.cur, st.block = outgoing{}, nil
	st.inter, st.spread = interleaver{}, spreader{}
	st.copies.rewind(since, unfinished)
}

// finish empties the stream before its session ends: blocks belong to
// sessions.
func (st *stream) finish(ctx context.Context, now time.Time) error {
	for st.cur.active {
		if _, err := st.write(ctx, now, st.quantum); err != nil {
			return err
		}
	}
	if st.block != nil {
		if err := st.closeByTimer(ctx, now); err != nil {
			return err
		}
	}
	if err := st.inter.flush(ctx, st); err != nil {
		return err
	}
	return st.spread.flush(ctx, st)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
