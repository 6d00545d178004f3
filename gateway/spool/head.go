package spool

import "fmt"

// EntryHead is the beginning of an entry, or a run of entries of which nothing
// can be read.
type EntryHead struct {
	Seq, Last uint64 // Last equals Seq, but for a run that cannot be read
	Weight    uint64 // of the entry, or of the run as far as the sums tell
	SumBefore uint64 // of the weights of all entries before Seq; 0 if unknown
	Bytes     int64  // of the whole entry; 0 for a run
	Data      []byte // the first bytes; nil when Err is set
	Err       error  // why there is no Data: what is damaged, in words
}

// ReadHead gives the first n bytes of the entry with sequence seq, or all of a
// shorter one, in memory of its own. It is cheaper than Read, and for this it does
// not verify the checksum over the data unless it has read all of it: the bytes
// may be damaged without an error. The other fields are always verified. Errors
// are those of Read.
func (l *Log) ReadHead(seq uint64, n int) (EntryHead, error) {
	if n < 0 {
		return EntryHead{}, fmt.Errorf("spool: entry %d: %d bytes wanted", seq, n)
	}
	l.lookup.mu.Lock()
	defer l.lookup.mu.Unlock()
	if l.isClosed() {
		return EntryHead{}, fmt.Errorf("spool: %w", ErrClosed)
	}
	r, h, err := l.find(seq)
	if err != nil {
		return EntryHead{}, err
	}
	if r.pos.seq != seq {
		return EntryHead{}, &CorruptError{Seq: seq, Err: errNoRecord}
	}
	if int64(n) >= int64(h.length) {
		e, err := r.data(h, nil)
		if err != nil {
			return EntryHead{}, err
		}
		return headOfEntry(e, n), nil
	}
	head := EntryHead{
		Seq: h.seq, Last: h.seq, Weight: uint64(h.weight), SumBefore: h.sum, Bytes: int64(h.length),
		Data: make([]byte, n),
	}
	if err := r.fill(head.Data, r.pos.off+recordHeadBytes); err != nil {
		if isUnreadable(err) {
			return EntryHead{}, err
		}
		return EntryHead{}, &CorruptError{Seq: seq, Err: err}
	}
	l.noteIndex(r)
	return head, nil
}

// headOfEntry is a view of e with at most n bytes of its data.
func headOfEntry(e Entry, n int) EntryHead {
	return EntryHead{
		Seq: e.Seq, Last: e.Seq, Weight: uint64(e.Weight), SumBefore: e.SumBefore,
		Bytes: int64(len(e.Data)), Data: e.Data[:min(n, len(e.Data))],
	}
}

// Weigh gives the totals of the retained entries first..last: how many, the sum
// of their weights, and the bytes of their data. It reads places, not entries:
// damaged ones are counted by their sequences, weighed as far as the sums tell,
// and measured by what they take on disk. ErrGone is returned when first is no
// longer retained, ErrNotYet when last is not durable yet.
func (l *Log) Weigh(first, last uint64) (entries, weight uint64, bytes int64, err error) {
	if first > last {
		return 0, 0, 0, fmt.Errorf("spool: range %d-%d: the first is after the last", first, last)
	}
	next, _ := l.position()
	if last >= next {
		return 0, 0, 0, fmt.Errorf("spool: entry %d, next is %d: %w", last, next, ErrNotYet)
	}
	from, start, err := l.placeOf(first)
	if err != nil {
		return 0, 0, 0, err
	}
	to, end, err := l.placeOf(last + 1)
	if err != nil {
		return 0, 0, 0, err
	}
	entries = last - first + 1
	bytes = l.bytesBetween(from, start.off, to, end.off) - int64(entries)*recordHeadBytes // #nosec G115 -- durable entries: their bytes fit
	if now := l.firstSeq.Load(); first < now {
		return 0, 0, 0, ErrGone{First: now} // deleted while it was measured
	}
	return entries, end.sum - start.sum, max(0, bytes), nil
}

// bytesBetween counts the bytes of records from one place to another; a nil
// segment as the second is the end of the log.
func (l *Log) bytesBetween(from *segment, off int64, to *segment, end int64) int64 {
	n := l.bytesAfter(from, off)
	if to != nil {
		n -= l.bytesAfter(to, end)
	}
	return n
}
