package spool

import (
	"errors"
	"fmt"
	"io"
)

// evictBytes is how much of an entry Options.Evict is shown: what an envelope
// says about where the entry comes from stands in its first bytes.
const evictBytes = 256

// eviction is the oldest segment, about to be deleted before it was sent.
type eviction struct {
	seg  *segment
	from uint64 // the first entry that some cursor has not acknowledged
	end  uint64 // the first entry of the next segment
	size int64
}

// dropOldest deletes the oldest segment, sent or not, counts what was unsent and
// names it to the owner first. False means that there is none to delete.
func (w *writer) dropOldest() (bool, error) {
	e, ok := w.log.oldest()
	if !ok {
		return false, nil
	}
	if err := w.name(e); err != nil {
		return false, err
	}
	w.faults = 0
	return w.log.dropUnsent(e), nil
}

// oldest gives the oldest segment, if it may go.
func (l *Log) oldest() (eviction, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.mayGo() {
		return eviction{}, false
	}
	acked, _ := l.slowest() // 0 without a cursor: nothing was sent to anybody
	seg := l.segs[0]
	return eviction{seg: seg, from: max(acked+1, seg.base), end: l.segs[1].base, size: seg.size}, true
}

// name calls Options.Evict for all entries of e that are unsent. When it returns
// nil, each was taken note of.
func (w *writer) name(e eviction) error {
	if w.log.opts.Evict == nil || e.from >= e.end {
		return nil
	}
	r := &reader{log: w.log, ahead: cursorAhead}
	defer r.close()
	n := &naming{tell: w.log.opts.Evict, due: e.from, end: e.end}
	n.sum, n.sumKnown = w.log.sumAtStart(e)
	for {
		err := n.walk(r, e)
		if err == nil {
			return n.rest(w.log, e)
		}
		switch {
		case n.refused:
			return err
		case errors.Is(err, errMoved):
			return nil // the keeper was quicker: it had been sent
		}
		// What the disk does not give now, it may give at the next attempt. What
		// it never gives must not fill the disk for good.
		if w.faults++; w.faults < readRetries {
			return fmt.Errorf("spool: segment %d: entries to be dropped: %w", e.seg.base, err)
		}
		if r.f == nil || !r.skipUnreadable(err) {
			return n.rest(w.log, e)
		}
	}
}

// sumAtStart gives the running sum before e.from if that begins the segment.
func (l *Log) sumAtStart(e eviction) (uint64, bool) {
	if e.from != e.seg.base || e.from == 1 {
		return 0, e.from == 1
	}
	head, err := l.headOf(e.seg.base)
	return head.sum, err == nil
}

// naming is the state of one walk over the entries that are about to be dropped.
type naming struct {
	tell     func(EntryHead) error
	due, end uint64
	sum      uint64 // of all weights before due
	sumKnown bool
	refused  bool // tell gave an error
	buf      []byte
}

// walk tells of all entries up to the end, or as far as the disk gives them. A
// second call goes on where the first has stopped.
func (n *naming) walk(r *reader, e eviction) error {
	if r.f == nil {
		_, err := r.seek(view{seg: e.seg, end: e.end, limit: e.size}, e.from)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	for n.due < n.end {
		h, err := r.head()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.seq < n.due {
			r.advance(h)
			continue
		}
		if err := n.entry(r, h); err != nil {
			return err
		}
	}
	return nil
}

// entry tells of the entry with header h, and of the run before it that cannot
// be read.
func (n *naming) entry(r *reader, h header) error {
	if err := n.run(h.seq, h.sum, true); err != nil {
		return err
	}
	e, err := r.data(h, n.buf)
	if isUnreadable(err) {
		return err
	}
	head := headOfEntry(e, evictBytes)
	if err != nil {
		head = EntryHead{Seq: h.seq, Last: h.seq, Weight: uint64(h.weight), SumBefore: h.sum, Bytes: int64(h.length), Err: err}
	} else {
		n.buf = e.Data
	}
	if err := n.say(head); err != nil {
		return err
	}
	n.due, n.sum, n.sumKnown = h.seq+1, h.sumAfter(), true
	return nil
}

// run tells of the entries from n.due to before end, none of which can be read.
func (n *naming) run(end, sum uint64, sumKnown bool) error {
	if n.due >= end {
		return nil
	}
	head := EntryHead{Seq: n.due, Last: end - 1, SumBefore: n.sum, Err: errNoRecord}
	if n.sumKnown && sumKnown && sum >= n.sum {
		head.Weight = sum - n.sum
	}
	if err := n.say(head); err != nil {
		return err
	}
	n.due, n.sum, n.sumKnown = end, sum, sumKnown
	return nil
}

// rest tells of what is left to the end, which cannot be read.
func (n *naming) rest(l *Log, e eviction) error {
	sum, known := l.sumAtEnd(view{seg: e.seg, end: e.end})
	return n.run(n.end, sum, known)
}

func (n *naming) say(head EntryHead) error {
	if err := n.tell(head); err != nil {
		n.refused = true
		return fmt.Errorf("spool: entry %d cannot be dropped, its loss is not recorded: %w", head.Seq, err)
	}
	return nil
}

// dropUnsent deletes the segment of e and counts what of it was unsent, which may
// be less by now. It is false when the segment is still there.
func (l *Log) dropUnsent(e eviction) bool {
	l.mu.Lock()
	if len(l.segs) == 0 || l.segs[0] != e.seg {
		l.mu.Unlock()
		return true // the keeper was quicker: it had been sent
	}
	behind := l.behind(e.end)
	acked, _ := l.slowest()
	l.mu.Unlock()
	total := l.between(max(acked+1, e.seg.base), e.end)
	for _, b := range behind {
		b.count = l.between(b.from, e.end)
	}
	deleted, err := l.deleteOldest(e.seg, true)
	if !deleted {
		return err == nil
	}
	l.countDrop(DropOldestUnsent, total)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range behind {
		b.cursor.dropped.add(b.count)
	}
	return true
}
