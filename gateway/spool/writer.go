package spool

import (
	"errors"
	"fmt"
	"os"
	"time"
)

// flatBytes is the group size up to which header and data are copied together
// for one write; above it the copy costs more than a vector of buffers.
const flatBytes = 256 << 10

// writer is the one goroutine that gives sequences and owns the open segment.
// Its steps stand in the order in which an entry meets them.
type writer struct {
	log    *Log
	seg    *segment // nil: the next commit begins one
	f      file
	seed   uint32
	size   int64 // committed bytes of seg
	fails  int   // commits failed in a row
	faults int   // reads failed in a row of what is to be dropped
	taken  int64 // bytes of the budget that are not in Log.total yet
	rest   time.Time
	group  []pending
	heads  []byte
	iov    [][]byte
	flat   []byte
	marks  []point // points for the index, of the group being written
}

// run commits groups until the queue is closed and empty.
func (w *writer) run() {
	defer w.closeSegment()
	for w.wait() {
		w.group = w.log.queue.take(maxGroupBytes, w.group[:0])
		if len(w.group) > 0 {
			w.serve()
		}
		clear(w.group)
	}
}

// wait blocks until something is queued; false means closed and empty.
func (w *writer) wait() bool {
	for {
		entries, bytes, closed := w.log.queue.state()
		if entries > 0 {
			if w.log.opts.Linger > 0 && !closed && bytes < maxGroupBytes && w.fails == 0 {
				w.linger()
			}
			return true
		}
		if closed {
			return false
		}
		<-w.log.queue.more
	}
}

// linger waits for company.
func (w *writer) linger() {
	t := time.NewTimer(w.log.opts.Linger)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			return
		case <-w.log.queue.more:
		}
		if _, bytes, closed := w.log.queue.state(); closed || bytes >= maxGroupBytes {
			return
		}
	}
}

// serve commits what it can of the group and settles what became of it.
func (w *writer) serve() {
	if w.resting() {
		w.drop(w.group, w.log.lastError())
		return
	}
	n, err := w.commit(w.group)
	w.settle()
	if err != nil {
		w.fails++
		w.stumble(err)
		return
	}
	w.fails = 0
	w.log.setState(StateOK, nil)
	w.log.queue.hold(false)
	first := w.log.nextSeq.Load() - uint64(n) // #nosec G115 -- n is a count of entries
	w.log.queue.finish(n)
	for i := range w.group[:n] {
		w.group[i].done(first+uint64(i), nil) // #nosec G115 -- index
	}
}

// commit makes the first n entries of the group durable: at least one.
func (w *writer) commit(group []pending) (n int, err error) {
	if !w.log.markSaved.Load() {
		if err := w.log.saveMark(false); err != nil {
			return 0, err
		}
	}
	n, err = w.room(group)
	if err != nil {
		return 0, err
	}
	bytes, sum := w.encode(group[:n])
	base, off := w.seg.base, w.size
	err = w.f.writeAt(w.iov, w.size)
	clear(w.iov)
	if err == nil {
		err = w.f.sync()
		w.log.syncs.Add(1)
	}
	if err != nil {
		w.poison()
		return 0, fmt.Errorf("spool: segment %d offset %d: %w", base, off, err)
	}
	w.size += bytes
	w.log.publish(w.seg, w.size, uint64(n), sum, w.marks) // #nosec G115 -- a count
	w.taken -= bytes
	return n, nil
}

// encode fills w.iov with headers and data, and gives the bytes and the sum after
// them.
func (w *writer) encode(group []pending) (bytes int64, sum uint64) {
	w.heads = growTo(w.heads, len(group)*recordHeadBytes)
	w.iov, w.marks = w.iov[:0], w.marks[:0]
	seq, sum := w.log.position()
	for i, p := range group {
		var crc uint32
		for _, part := range p.parts {
			crc = crc32c(crc, part)
		}
		h := header{length: uint32(p.bytes), dataCRC: crc, seq: seq, weight: p.weight, sum: sum} // #nosec G115 -- at most maxEntryBytes
		dst := w.heads[i*recordHeadBytes : (i+1)*recordHeadBytes]
		h.encode(dst, w.seed)
		w.mark(point{seq: seq, off: w.size + bytes, sum: sum})
		w.iov = append(append(w.iov, dst), p.parts...)
		seq, sum, bytes = seq+1, h.sumAfter(), bytes+h.recordBytes()
	}
	if bytes <= flatBytes {
		w.flatten()
	}
	return bytes, sum
}

// mark keeps p for the index, if it is far enough from the one before.
func (w *writer) mark(p point) {
	if n := len(w.marks); n == 0 || p.off >= w.marks[n-1].off+indexSpacing {
		w.marks = append(w.marks, p)
	}
}

// flatten copies a small group together: one buffer is cheaper than a vector.
func (w *writer) flatten() {
	w.flat = w.flat[:0]
	for _, b := range w.iov {
		w.flat = append(w.flat, b...)
	}
	w.iov = append(w.iov[:0], w.flat)
}

func growTo(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// roll closes the segment, all of which is committed, and begins the next.
func (w *writer) roll() error {
	w.closeSegment()
	seq, sum := w.log.position()
	head := segmentHead{epoch: w.log.Epoch(), base: seq, sum: sum, created: time.Now()}
	// Whatever stands under this name was never acknowledged: sequences before
	// base are in older segments, and base has not been given.
	name := segmentName(seq)
	f, err := w.log.fs.open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("spool: segment %d: %w", seq, err)
	}
	err = f.writeAt([][]byte{head.encode()}, 0)
	if err == nil {
		err = f.sync()
	}
	if err == nil {
		err = w.log.fs.syncDir()
	}
	if err != nil {
		err = fmt.Errorf("spool: segment %d: %w", seq, err)
		return errors.Join(err, f.close(), w.log.fs.remove(name))
	}
	w.f, w.size, w.seed = f, segmentHeadBytes, headerSeed(head.epoch, seq)
	w.seg = w.log.addSegment(seq, name)
	w.taken -= segmentHeadBytes
	w.log.keeper.rolled()
	return nil
}

func (w *writer) closeSegment() {
	if w.f == nil {
		return
	}
	if err := w.f.close(); err != nil {
		w.log.opts.Log.Warn("spool: close segment", "segment", w.seg.base, "error", err)
	}
	w.f, w.seg = nil, nil
}

// poison gives the open segment up after a write or sync that went wrong: what
// the kernel holds of it beyond the committed bytes is unknown. The entries are
// written again, to a fresh segment, whose base hides the rest of this one.
func (w *writer) poison() {
	if err := w.f.truncate(w.size); err != nil {
		w.log.opts.Log.Debug("spool: cut poisoned segment", "segment", w.seg.base, "error", err)
	}
	empty := w.size == segmentHeadBytes
	seg := w.seg
	w.closeSegment()
	if empty {
		w.log.forgetEmpty(seg)
	}
}
