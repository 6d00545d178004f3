package spool

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"sync"
)

const (
	// lookupReaders is how many segments random access keeps open.
	lookupReaders = 4
	// indexedSegments bounds how many segments have an index in memory: about
	// 24 KiB each at 64 MiB per segment.
	indexedSegments = 64
)

// lookup is random access by sequence.
type lookup struct {
	mu      sync.Mutex // guards readers
	readers []*reader  // the most recently used first
}

// Read gives the entry with sequence seq, in buf, which is grown when needed. It
// returns ErrGone when seq is no longer retained, ErrNotYet when it is not durable
// yet, and a CorruptError when its bytes are damaged. It may be called from many
// goroutines, which then take turns.
func (l *Log) Read(seq uint64, buf []byte) (Entry, error) {
	l.lookup.mu.Lock()
	defer l.lookup.mu.Unlock()
	if l.isClosed() {
		return Entry{}, fmt.Errorf("spool: %w", ErrClosed)
	}
	r, h, err := l.find(seq)
	if err != nil {
		return Entry{}, err
	}
	if r.pos.seq != seq {
		return Entry{}, &CorruptError{Seq: seq, Err: errNoRecord}
	}
	e, err := r.data(h, buf)
	if err == nil {
		l.noteIndex(r)
	}
	return e, err
}

// find puts a reader on the record with sequence seq, or on the next one that can
// be read, or at the end of the segment (then h is zero). lookup.mu is held.
func (l *Log) find(seq uint64) (*reader, header, error) {
	for {
		v, err := l.viewOf(seq)
		if err != nil {
			return nil, header{}, err
		}
		r := l.readerFor(v)
		h, err := r.seek(v, seq)
		if errors.Is(err, errMoved) {
			continue // deleted meanwhile: viewOf says what is retained now
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, header{}, err
		}
		return r, h, nil
	}
}

// seek puts r on the record with sequence seq within v, or on the next valid one.
func (r *reader) seek(v view, seq uint64) (header, error) {
	if r.f != nil && r.v.seg == v.seg && r.pos.seq <= seq {
		r.grow(v)
	} else if err := r.open(v); err != nil {
		return header{}, err
	}
	if p, ok := r.log.nearest(v.seg, seq); ok && p.seq > r.pos.seq {
		r.pos, r.sumKnown = p, true
	}
	for {
		h, err := r.head()
		if err != nil || r.pos.seq >= seq {
			return h, err
		}
		r.advance(h)
		r.log.noteIndex(r)
	}
}

// readerFor gives the reader that has v's segment open, or the one unused for
// longest.
func (l *Log) readerFor(v view) *reader {
	rs := l.lookup.readers
	at := len(rs) - 1
	for i, r := range rs {
		if r.f != nil && r.v.seg == v.seg {
			at = i
			break
		}
	}
	r := rs[at]
	copy(rs[1:at+1], rs[:at])
	rs[0] = r
	return r
}

// viewOf gives the segment that holds seq.
func (l *Log) viewOf(seq uint64) (view, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := l.firstSeq.Load()
	switch {
	case seq < first:
		return view{}, ErrGone{First: first}
	case seq >= l.next:
		return view{}, fmt.Errorf("spool: entry %d, next is %d: %w", seq, l.next, ErrNotYet)
	}
	i := sort.Search(len(l.segs), func(i int) bool { return l.segs[i].base > seq }) - 1
	return l.viewAt(i), nil
}

// viewAt gives segment i as it is now; mu is held.
func (l *Log) viewAt(i int) view {
	v := view{seg: l.segs[i], end: l.next, limit: l.segs[i].size}
	if i+1 < len(l.segs) {
		v.end = l.segs[i+1].base
	}
	return v
}

// nearest gives the last point of seg's index that is not after seq.
func (l *Log) nearest(seg *segment, seq uint64) (point, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := sort.Search(len(seg.index), func(i int) bool { return seg.index[i].seq > seq })
	if i == 0 {
		return point{}, false
	}
	return seg.index[i-1], true
}

// noteIndex adds the reader's place to the index of its segment, if it is far
// enough from the last point.
func (l *Log) noteIndex(r *reader) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.sumKnown && r.pos.seq < r.v.end {
		l.addPoint(r.v.seg, r.pos)
	}
}

// addPoint is noteIndex with mu held.
func (l *Log) addPoint(seg *segment, p point) {
	last := int64(segmentHeadBytes)
	if n := len(seg.index); n > 0 {
		last = seg.index[n-1].off
	}
	if p.off < last+indexSpacing {
		return
	}
	if seg.index == nil {
		l.indexed = append(l.indexed, seg)
	}
	seg.index = append(seg.index, p)
	if len(l.indexed) > indexedSegments {
		l.dropIndex(l.indexed[0])
	}
}

// dropIndex forgets the index of seg; mu is held.
func (l *Log) dropIndex(seg *segment) {
	for i, s := range l.indexed {
		if s == seg {
			l.indexed = append(l.indexed[:i], l.indexed[i+1:]...)
			break
		}
	}
	seg.index = nil
}

// sumBefore gives the running sum before seq, which is retained or next.
func (l *Log) sumBefore(seq uint64) (uint64, error) {
	_, p, err := l.placeOf(seq)
	return p.sum, err
}

// placeOf gives the place of seq; the segment is nil for the next sequence, which
// has none yet.
func (l *Log) placeOf(seq uint64) (*segment, point, error) {
	if next, sum := l.position(); seq == next {
		return nil, point{seq: seq, sum: sum}, nil
	}
	l.lookup.mu.Lock()
	defer l.lookup.mu.Unlock()
	r, _, err := l.find(seq)
	if err != nil {
		return nil, point{}, err
	}
	return r.v.seg, r.pos, nil
}

// bytesAfter counts the bytes of segment files from off in seg on.
func (l *Log) bytesAfter(seg *segment, off int64) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	left := max(0, seg.size-off)
	for i := len(l.segs) - 1; i >= 0 && l.segs[i].base > seg.base; i-- {
		left += l.segs[i].size - segmentHeadBytes
	}
	return left
}

// sumAtEnd gives the running sum where v ends: the next segment's head knows it,
// or the log itself.
func (l *Log) sumAtEnd(v view) (sum uint64, known bool) {
	if next, sum := l.position(); v.end == next {
		return sum, true
	}
	head, err := l.headOf(v.end)
	return head.sum, err == nil
}

// headOf reads the head of the segment that begins with base.
func (l *Log) headOf(base uint64) (segmentHead, error) {
	b, err := readSmallFile(l.fs, segmentName(base), segmentHeadBytes)
	if err != nil {
		return segmentHead{}, err
	}
	return decodeSegmentHead(b)
}

// epochOf tells the epoch of an entry in a segment that was begun under head. A
// segment can reach into the next epoch: when the disk was too full to begin
// another one.
func (l *Log) epochOf(seq uint64, head [16]byte) [16]byte {
	if seq > l.prev.last { // set before anybody reads
		return l.epoch
	}
	return head
}

// knownEpochs lists epochs that a segment whose head is damaged may belong to:
// those of its neighbours first.
func (l *Log) knownEpochs(base uint64) (epochs [][16]byte) {
	l.mu.Lock()
	var neighbours []uint64
	for i, s := range l.segs {
		if s.base != base {
			continue
		}
		if i > 0 {
			neighbours = append(neighbours, l.segs[i-1].base)
		}
		if i+1 < len(l.segs) {
			neighbours = append(neighbours, l.segs[i+1].base)
		}
	}
	own := [][16]byte{l.epoch, l.prev.epoch}
	l.mu.Unlock()
	for _, n := range neighbours {
		if head, err := l.headOf(n); err == nil {
			epochs = append(epochs, head.epoch)
		}
	}
	return append(epochs, own...)
}

// Last gives the newest durable entry that can be read, in memory of its own; the
// newest entry is never deleted. It is false when there is none.
func (l *Log) Last() (Entry, bool, error) {
	next, _ := l.position()
	if next == l.firstSeq.Load() {
		return Entry{}, false, nil
	}
	e, err := l.Read(next-1, nil)
	if err == nil {
		return e, true, nil
	}
	if corrupt := (*CorruptError)(nil); !errors.As(err, &corrupt) {
		return Entry{}, false, err
	}
	return l.lastReadable()
}

// lastReadable looks for the newest entry when the one at the end is damaged.
func (l *Log) lastReadable() (Entry, bool, error) {
	l.mu.Lock()
	views := make([]view, len(l.segs))
	for i := range l.segs {
		views[i] = l.viewAt(i)
	}
	l.mu.Unlock()
	r := &reader{log: l, ahead: cursorAhead}
	defer r.close()
	for _, view := range slices.Backward(views) {
		e, found, err := r.lastOf(view)
		if found || err != nil {
			return e, found, err
		}
	}
	return Entry{}, false, nil
}

// lastOf gives the last entry of v that can be read.
func (r *reader) lastOf(v view) (last Entry, found bool, err error) {
	if err := r.open(v); err != nil {
		return Entry{}, false, err
	}
	var spare []byte
	for {
		h, err := r.head()
		if errors.Is(err, io.EOF) {
			return last, found, nil
		}
		if err != nil {
			return last, found, err
		}
		e, err := r.data(h, spare)
		if corrupt := (*CorruptError)(nil); errors.As(err, &corrupt) {
			continue
		}
		if err != nil {
			return last, found, err
		}
		spare, last, found = last.Data, e, true
	}
}
