package spool

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
)

const (
	// cursorAhead is what a cursor reads at once: a few batches, many lines.
	cursorAhead = 256 << 10
	// lookupAhead is what a random access reads at once, to walk over headers.
	lookupAhead = 16 << 10
	// sectorBytes is the step in which a search passes unreadable bytes.
	sectorBytes = 4096
	// scanEnd is the end of a view whose last sequence is not known yet.
	scanEnd = math.MaxUint64
)

// reader walks over the records of one segment at a time. It verifies what it
// reads, steps over damage and reports it. It belongs to one goroutine.
type reader struct {
	log   *Log
	ahead int
	f     file
	v     view
	seed  uint32
	epoch [16]byte // under which the segment was begun
	pos   point    // the next record is expected here
	// sumKnown says that pos.sum is right: it is not after a lost segment head.
	sumKnown bool
	headErr  error // why the segment's head could not be used, or nil
	win      []byte
	winOff   int64
}

// open positions the reader on the first record of v.
func (r *reader) open(v view) error {
	r.close()
	f, err := r.log.fs.open(v.seg.name, os.O_RDONLY)
	if errors.Is(err, fs.ErrNotExist) {
		if r.log.firstSeq.Load() > v.seg.base {
			return errMoved
		}
		f, v.limit, err = absentFile{}, 0, nil
	}
	if err != nil {
		return fmt.Errorf("spool: segment %d: %w", v.seg.base, err)
	}
	carried, carry := r.pos.sum, r.sumKnown && r.pos.seq == v.seg.base
	if v.seg.base == 1 {
		carried, carry = 0, true
	}
	r.f, r.v, r.win, r.winOff = f, v, r.win[:0], 0
	r.pos = point{seq: v.seg.base, off: segmentHeadBytes}
	head, err := readSegmentHead(f, v.seg.base)
	r.headErr = err
	if err == nil {
		r.seed, r.pos.sum, r.sumKnown = headerSeed(head.epoch, head.base), head.sum, true
		r.epoch = head.epoch
		return nil
	}
	r.pos.sum, r.sumKnown = carried, carry
	r.guessEpoch()
	return nil
}

func (r *reader) close() {
	if r.f != nil {
		_ = r.f.close() // read only: nothing to lose
		r.f = nil
	}
}

// guessEpoch finds the epoch, and with it the seed, of a segment whose head is
// damaged among those that are known.
func (r *reader) guessEpoch() {
	base := r.v.seg.base
	for _, epoch := range r.log.knownEpochs(base) {
		r.epoch, r.seed = epoch, headerSeed(epoch, base)
		if _, _, ok := r.search(r.pos.off); ok {
			return
		}
	}
	r.epoch, r.seed = r.log.Epoch(), headerSeed(r.log.Epoch(), base)
}

// grow takes in what was committed to the same segment since.
func (r *reader) grow(v view) { r.v.end, r.v.limit = v.end, max(v.limit, r.v.limit) }

// head gives the next record's header, having passed damage before it: then
// r.pos is on it. io.EOF means that everything before r.v.end was passed.
func (r *reader) head() (header, error) {
	if r.pos.seq >= r.v.end {
		return header{}, io.EOF
	}
	h, err := r.headerAt(r.pos.off)
	if err == nil {
		r.noteMissing(h, r.pos.off, nil)
		return h, nil
	}
	if isUnreadable(err) {
		return header{}, err
	}
	return r.resume(err)
}

// resume goes on at the next valid header after the place where err was found.
func (r *reader) resume(err error) (header, error) {
	h, at, ok := r.search(r.pos.off + 1)
	if ok {
		r.noteMissing(h, at, err)
		return h, nil
	}
	if r.v.end == scanEnd {
		return header{}, io.EOF
	}
	r.missingToEnd(err)
	return header{}, io.EOF
}

// noteMissing accounts for the sequences between r.pos and the header found at
// at, and moves there.
func (r *reader) noteMissing(h header, at int64, cause error) {
	if h.seq > r.pos.seq || at > r.pos.off {
		d := hole{first: r.pos.seq, end: h.seq, off: r.pos.off, bytes: at - r.pos.off, cause: cause}
		if r.sumKnown {
			d.weight = h.sum - r.pos.sum
		}
		r.log.damaged(r.v.seg, r.f, d)
	}
	r.pos = point{seq: h.seq, off: at, sum: h.sum}
	r.sumKnown = true
}

// missingToEnd accounts for everything that r.v should hold from r.pos on.
func (r *reader) missingToEnd(cause error) {
	d := hole{first: r.pos.seq, end: r.v.end, off: r.pos.off, bytes: max(0, r.v.limit-r.pos.off), cause: cause}
	after, known := r.log.sumAtEnd(r.v)
	if known && r.sumKnown && after >= r.pos.sum {
		d.weight = after - r.pos.sum
	}
	r.log.damaged(r.v.seg, r.f, d)
	r.pos = point{seq: r.v.end, off: max(r.pos.off, r.v.limit), sum: after}
	r.sumKnown = known
}

// data reads the record at r.pos, whose header is h, into buf, which is grown
// when needed, and moves on. A damaged record is reported and gives a
// CorruptError.
func (r *reader) data(h header, buf []byte) (Entry, error) {
	buf = slices.Grow(buf[:0], int(h.length))[:h.length]
	cause := r.fill(buf, r.pos.off+recordHeadBytes)
	if isUnreadable(cause) {
		return Entry{}, cause
	}
	if cause == nil && crc32c(0, buf) != h.dataCRC {
		cause = errChecksum
	}
	at := r.pos.off
	r.advance(h)
	if cause == nil {
		return Entry{Seq: h.seq, Epoch: r.log.epochOf(h.seq, r.epoch), Weight: h.weight, SumBefore: h.sum, Data: buf}, nil
	}
	r.log.damaged(r.v.seg, r.f, hole{
		first: h.seq, end: h.seq + 1, weight: uint64(h.weight),
		off: at, bytes: h.recordBytes(), cause: cause,
	})
	return Entry{}, &CorruptError{Seq: h.seq, Err: cause}
}

// fill reads buf from off, what was read ahead first.
func (r *reader) fill(buf []byte, off int64) error {
	n := copy(buf, r.window(off))
	if n == len(buf) {
		return nil
	}
	if err := readFull(r.f, buf[n:], off+int64(n)); err != nil {
		return r.unreadable(off, err)
	}
	return nil
}

func (r *reader) advance(h header) {
	r.pos = point{seq: h.seq + 1, off: r.pos.off + h.recordBytes(), sum: h.sumAfter()}
}

// skipUnreadable passes a record that the disk will not give, as damage. It
// reports false when nothing of the segment can be read: then the disk is gone,
// not the record.
func (r *reader) skipUnreadable(cause error) bool {
	r.win = r.win[:0]
	if h, at, ok := r.search(r.pos.off + 1); ok {
		r.noteMissing(h, at, cause)
		return true
	}
	if _, err := readSegmentHead(r.f, r.v.seg.base); err != nil {
		return false
	}
	r.missingToEnd(cause)
	return true
}

// headerAt decodes and judges the header at off.
func (r *reader) headerAt(off int64) (header, error) {
	b, err := r.peek(off, recordHeadBytes)
	if err != nil {
		return header{}, err
	}
	h, err := decodeHeader(b, r.seed)
	if err != nil {
		return header{}, err
	}
	switch {
	case h.seq < r.pos.seq || h.seq >= r.v.end:
		return header{}, fmt.Errorf("sequence %d where %d is due: %w", h.seq, r.pos.seq, errNoRecord)
	case r.sumKnown && h.sum < r.pos.sum:
		return header{}, fmt.Errorf("sum %d where at least %d is due: %w", h.sum, r.pos.sum, errNoRecord)
	case off+h.recordBytes() > r.v.limit:
		return header{}, fmt.Errorf("record of %d bytes: %w", h.recordBytes(), io.ErrUnexpectedEOF)
	}
	return h, nil
}

// search finds the first valid header at or after off. Unreadable bytes are
// passed in steps of a sector.
func (r *reader) search(off int64) (header, int64, bool) {
	magic := magicBytes()
	for off+recordHeadBytes <= r.v.limit {
		if _, err := r.peek(off, recordHeadBytes); err != nil {
			off = (off/sectorBytes + 1) * sectorBytes
			continue
		}
		w := r.window(off)
		i := bytes.Index(w, magic[:])
		if i < 0 {
			off += int64(len(w) - len(magic) + 1)
			continue
		}
		off += int64(i)
		if h, err := r.headerAt(off); err == nil {
			return h, off, true
		}
		off++
	}
	return header{}, 0, false
}

// window is what was read ahead from off on; it may be empty.
func (r *reader) window(off int64) []byte {
	if off < r.winOff || off >= r.winOff+int64(len(r.win)) {
		return nil
	}
	return r.win[off-r.winOff:]
}

// peek gives n bytes at off, which stay valid until the next call.
func (r *reader) peek(off int64, n int) ([]byte, error) {
	if w := r.window(off); len(w) >= n {
		return w[:n], nil
	}
	if off+int64(n) > r.v.limit {
		return nil, fmt.Errorf("%d bytes left: %w", r.v.limit-off, errNoRecord)
	}
	if r.win == nil {
		r.win = make([]byte, 0, r.ahead)
	}
	want := min(int64(cap(r.win)), r.v.limit-off)
	r.win, r.winOff = r.win[:want], off
	if err := readFull(r.f, r.win, off); err == nil {
		return r.win[:n], nil
	}
	// One bad sector must not spoil what can be read before it.
	r.win = r.win[:n]
	if err := readFull(r.f, r.win, off); err != nil {
		r.win = r.win[:0]
		return nil, r.unreadable(off, err)
	}
	return r.win, nil
}

// readFull reads len(b) bytes; a file that ends before that gives an error.
func readFull(f io.ReaderAt, b []byte, off int64) error {
	n, err := f.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// unreadableError says that the disk did not give the bytes, as opposed to giving
// wrong ones.
type unreadableError struct {
	segment uint64
	off     int64
	err     error
}

func (e *unreadableError) Error() string {
	return fmt.Sprintf("spool: segment %d offset %d: %v", e.segment, e.off, e.err)
}

func (e *unreadableError) Unwrap() error { return e.err }

func isUnreadable(err error) bool {
	if err == nil {
		return false
	}
	var e *unreadableError
	return errors.As(err, &e)
}

// unreadable wraps a read error; a file that is too short is damage instead.
func (r *reader) unreadable(off int64, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("offset %d: %w", off, err)
	}
	return &unreadableError{segment: r.v.seg.base, off: off, err: err}
}
