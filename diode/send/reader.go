package send

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// readDepth is how many copies of a class are read ahead: one being sent, one
// ready.
const readDepth = 2

// ask is a batch to read again.
type ask struct {
	kind     copyKind
	seq, sum uint64 // sum: running sum after the batch
	final    bool   // its last copy
	turn     uint64 // errors so far: what was asked for before the last one is void
}

type answer struct {
	ask
	batch diode.Batch
	buf   []byte // that batch may alias
	err   error
}

// reader reads batches again beside the loop: that may take long.
//
//	loop ─ask─> asks ─> Source.Read ─> answers ─> loop
type reader struct {
	asks    chan ask    // capacity readDepth
	answers chan answer // capacity readDepth
	free    chan []byte // buffers of the reading goroutine; capacity readDepth

	// Owned by the loop.
	inflight fifo[ask] // asked for and not begun
	lent     int       // buffers that are not free, or asked for
	again    int       // of kind again in inflight
	resent   int       // of kind resent in inflight
	turn     uint64
}

func newReader() reader {
	r := reader{asks: make(chan ask, readDepth), answers: make(chan answer, readDepth), free: make(chan []byte, readDepth)}
	for range readDepth {
		r.free <- make([]byte, diode.MaxBatchBytes)
	}
	return r
}

// read serves the loop's asks in order until ctx ends.
func (st *stream) read(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-st.reader.asks:
			buf := <-st.reader.free // never blocks: no more asks than buffers
			b, err := st.source.Read(a.seq, buf)
			st.reader.answers <- answer{ask: a, batch: b, buf: buf, err: err}
			st.wakeUp()
		}
	}
}

func (r *reader) full() bool { return r.lent >= readDepth }

func (r *reader) ask(a ask) {
	a.turn = r.turn
	r.inflight.push(a)
	r.lent++
	r.count(a, 1)
	r.asks <- a // never blocks: no more asks than places
}

func (r *reader) count(a ask, n int) {
	switch a.kind {
	case again:
		r.again += n
	case resent:
		r.resent += n
	default:
	}
}

func (r *reader) giveBack(buf []byte) {
	r.lent--
	r.free <- buf
}

// forget makes all that was asked for void and returns it.
func (r *reader) forget() []ask {
	var list []ask
	for r.inflight.len() > 0 {
		list = append(list, r.inflight.pop())
	}
	r.turn++
	r.again, r.resent = 0, 0
	return list
}

// askCopies has the copies read that are due: after an error, by repetition,
// by an operator's request.
func (st *stream) askCopies(now time.Time) {
	for !st.reader.full() {
		a, ok := st.copies.take(now)
		if !ok {
			a, ok = st.askResend(now)
		}
		if !ok {
			return
		}
		st.reader.ask(a)
	}
}

// askResend takes the next batch that an operator asked for; one at a time, so
// that each is paid for before the next.
func (st *stream) askResend(now time.Time) (ask, bool) {
	if st.reader.resent > 0 || st.halted(st) {
		return ask{}, false
	}
	seq, ok := st.asked.take(now, st.liveWaits())
	return ask{kind: resent, seq: seq}, ok
}

// beginCopy begins a batch that was read again, unless it is void or no longer
// there.
func (st *stream) beginCopy(a answer, now time.Time) bool {
	r := &st.reader
	if a.turn != r.turn {
		r.giveBack(a.buf)
		return false
	}
	r.count(r.inflight.pop(), -1)
	if b := a.batch; a.err != nil || b.Seq != a.seq || len(b.Data) > diode.MaxBatchBytes {
		r.giveBack(a.buf)
		st.leaveOutCopy(a)
		return false
	}
	if a.kind == resent {
		st.asked.pay(now, st.wireBytes(len(a.batch.Data)))
	} else {
		st.stats.copies.Add(1)
	}
	st.start(a.batch, a.kind, a.buf, a.final)
	return true
}

func (st *stream) leaveOutCopy(a answer) {
	st.log.Debug("batch for a copy is no longer there", "class", st.class, "seq", a.seq, "err", a.err)
	if a.kind == resent {
		st.stats.resendMissing.Add(1)
		return
	}
	st.stats.missing.Add(1)
	if a.final {
		st.marks.add(mark{seq: a.seq, sum: a.sum})
	}
}

// wireBytes is about what a batch takes on the wire, parity included.
func (st *stream) wireBytes(data int) int {
	whole := (st.bulk.Data + st.bulk.Parity) * st.frameCost(st.shard)
	return int(float64(data+frame.BatchHeaderBytes) * float64(whole) / float64(st.bulk.Data*st.shard))
}
