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
	quantum int // bytes on the wire per turn
	weight  int // turns in a row

	ready  chan fed      // from the feeder; capacity feedDepth
	free   chan []byte   // back to the feeder; capacity feedDepth
	told   atomic.Uint64 // last Source.Sent
	asked  *resends
	reader reader

	cur     outgoing
	block   *block // open, or nil
	next    uint64 // number of the next block
	inter   interleaver
	wroteAt time.Time // when data were last put into a block
	begun   uint64    // newest sequence that was begun for the first time
	spread  spreader
	out     output
	copies  copies
	marks   progress
	parity  [fec.MaxShards]uint8 // of small blocks, by data shards; 0 = not worked out
}

// outgoing is the batch that is being written into blocks.
type outgoing struct {
	active bool
	batch  diode.Batch
	kind   copyKind
	buf    []byte // to give back
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
func (st *stream) hasWork() bool {
	return st.out.len() > 0 || st.cur.active || st.waiting()
}

// waiting says whether a batch could be begun.
func (st *stream) waiting() bool {
	if st.halted(st) {
		return false
	}
	return len(st.reader.answers) > 0 || (len(st.ready) > 0 && st.mayBeginNew())
}

// mayBeginNew keeps new batches behind those that an error has set back, so
// that the far side sees an unbroken series.
func (st *stream) mayBeginNew() bool {
	return !st.copies.goesBack() && st.reader.again == 0 && !st.copies.full()
}

// turn sends about one quantum: shards that are ready first, then batches are
// written into blocks.
func (st *stream) turn(ctx context.Context, now time.Time) error {
	for left := st.quantum; left > 0; {
		n, err := st.step(ctx, now, left)
		if err != nil {
			return err
		}
		left -= n
		if n == 0 && !st.hasWork() {
			return nil
		}
	}
	return nil
}

// step does the next piece of work and returns what it took on the wire.
func (st *stream) step(ctx context.Context, now time.Time, most int) (int, error) {
	if st.out.len() > 0 {
		return st.emitNext(ctx)
	}
	if !st.cur.active && !st.begin(now) {
		return 0, nil
	}
	return st.write(ctx, now, most)
}

// begin takes the next batch: copies before new ones.
func (st *stream) begin(now time.Time) bool {
	if st.halted(st) {
		return false
	}
	for {
		select {
		case a := <-st.reader.answers:
			if st.beginCopy(a, now) {
				return true
			}
			continue
		default:
		}
		if !st.mayBeginNew() {
			return false
		}
		select {
		case f := <-st.ready:
			if len(f.batch.Data) <= diode.MaxBatchBytes {
				st.beginNew(f, now)
				return true
			}
			st.leaveOut(f)
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
	st.begun = b.Seq
	st.start(b, first, f.buf, !st.copies.repeats())
	st.copies.sent(b, now)
	st.stats.batches.Add(1)
	st.stats.payload.Add(uint64(len(b.Data)))
}

func (st *stream) start(b diode.Batch, kind copyKind, buf []byte, final bool) {
	flags := kind.flags()
	if st.cfg.Parallel || (st.copies.repeats() && !final && kind != resent) {
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
	st.cur = outgoing{active: true, batch: b, kind: kind, buf: buf, final: final}
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
