package spool

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// inventory is what Open finds in the directory.
type inventory struct {
	segs    []*segment
	cursors []string
	mark    mark
	marked  bool  // there is a usable mark
	markErr error // there is one that cannot be used
}

// ending is what a scan found at the end of the newest segment.
type ending struct {
	next, sum uint64
	head      segmentHead
	headErr   error
	entries   bool  // there is at least one valid record
	end       int64 // offset behind the last one
	tail      tail
}

// tail is what stands behind the last valid record.
type tail uint8

const (
	tailClean   tail = iota // nothing
	tailTorn                // a record that was never written whole
	tailDamaged             // bytes that no cut write explains
)

// reasonCreated is the one reason for an epoch that is not an alarm.
const reasonCreated = "created"

// load brings the log to where it was: marks and cursors by their files, older
// segments by their names only, the newest by reading it. It gives the writer,
// which goes on in the newest segment if that is sound.
func (l *Log) load() (*writer, error) {
	inv, err := l.takeInventory()
	if err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	l.loadCursors(inv.cursors)
	l.segs = inv.segs
	l.epoch, l.prev = inv.mark.epoch, inv.mark.prev // for segments whose head is damaged
	end, floor := l.findEnd()
	synced := l.syncNewest()
	l.settlePosition(inv, end, floor)
	why := l.epochChange(inv, end, floor)
	l.setEpoch(inv, end, why)
	for _, s := range l.segs {
		l.total += s.size
	}
	l.opts.Budget.join(l, l.total)
	l.firstSeq.Store(l.next)
	if len(l.segs) > 0 {
		l.firstSeq.Store(l.segs[0].base)
	}
	l.placeCursors()
	if err := l.saveMark(false); err != nil {
		l.opts.Log.Warn("spool: mark not stored yet", "error", err)
	}
	w := &writer{log: l}
	switch why {
	case "":
		if synced {
			w.resume(end)
		}
	case reasonCreated:
	default:
		// The segment's name pins the position, so that the next start does not
		// find the same reason again.
		if err := w.roll(); err != nil {
			l.opts.Log.Warn("spool: segment not begun yet", "error", err)
		}
		w.settle()
	}
	return w, nil
}

// takeInventory sorts the files. What an interrupted rename left is removed.
func (l *Log) takeInventory() (*inventory, error) {
	files, err := l.fs.list()
	if err != nil {
		return nil, err
	}
	inv := &inventory{}
	inv.mark, inv.marked, inv.markErr = readMark(l.fs)
	for _, f := range files {
		base, isSegment := parseSegmentName(f.name)
		switch {
		case isSegment:
			inv.segs = append(inv.segs, &segment{base: base, name: f.name, size: f.size, touched: f.changed})
		case strings.HasSuffix(f.name, cursorSuffix):
			inv.cursors = append(inv.cursors, strings.TrimSuffix(f.name, cursorSuffix))
		case strings.HasSuffix(f.name, quarantineSuffix):
			l.quarantined += f.size
			l.quarantineCount++
		case strings.HasSuffix(f.name, tempSuffix):
			if err := l.fs.remove(f.name); err != nil {
				l.opts.Log.Warn("spool: remove leftover", "file", f.name, "error", err)
			}
		}
	}
	slices.SortFunc(inv.segs, func(a, b *segment) int {
		if a.base < b.base {
			return -1
		}
		return 1
	})
	return inv, nil
}

// loadCursors reads the cursor files. One that is damaged begins again at the
// first retained entry: twice is allowed, never is not.
func (l *Log) loadCursors(names []string) {
	for _, name := range names {
		if !validCursorName(name) {
			continue
		}
		b, err := readSmallFile(l.fs, name+cursorSuffix, cursorBytes+1)
		var acked uint64
		if err == nil {
			acked, err = decodeCursor(b)
		}
		c := newCursor(l, name, acked)
		c.saved, c.onDisk = acked, err == nil
		if err != nil {
			l.opts.Log.Error("spool: cursor begins again at the first retained entry", "cursor", name, "error", err)
		}
		l.cursors[name] = c
	}
}

// findEnd scans the newest segment, past those that were begun and hold nothing.
// floor is the last sequence that must have been given by the files' names.
func (l *Log) findEnd() (end ending, floor uint64) {
	for len(l.segs) > 0 {
		last := l.segs[len(l.segs)-1]
		end = l.scan(last)
		if end.entries || end.headErr == nil || end.tail == tailDamaged {
			if end.tail != tailDamaged {
				last.size = end.end
			}
			return end, max(floor, last.base-1)
		}
		floor = max(floor, last.base-1)
		l.opts.Log.Info("spool: segment was never begun in full", "segment", last.base, "error", end.headErr)
		if err := l.fs.remove(last.name); err != nil {
			l.opts.Log.Warn("spool: remove segment", "segment", last.base, "error", err)
		}
		l.segs = l.segs[:len(l.segs)-1]
	}
	return ending{next: 1}, floor
}

// scan reads a segment to its end, with bounded memory, and builds its index.
func (l *Log) scan(seg *segment) ending {
	r := &reader{log: l, ahead: cursorAhead}
	defer r.close()
	end := ending{next: seg.base, end: segmentHeadBytes, tail: tailDamaged}
	if err := r.open(view{seg: seg, end: scanEnd, limit: seg.size}); err != nil {
		l.opts.Log.Error("spool: newest segment cannot be opened", "segment", seg.base, "error", err)
		end.headErr = err
		return end
	}
	if end.headErr = r.headErr; end.headErr == nil {
		end.head, _ = readSegmentHead(r.f, seg.base)
	}
	err := r.scanRecords(&end)
	end.sum, end.end = r.pos.sum, r.pos.off
	end.next = max(end.next, r.pos.seq)
	if err != nil {
		l.opts.Log.Error("spool: newest segment cannot be read to its end", "error", err)
		return end
	}
	end.tail = r.judgeTail()
	if end.tail == tailDamaged {
		l.opts.Log.Error("spool: newest segment ends in damage", "segment", seg.base, "offset", end.end, "bytes", seg.size-end.end)
		l.quarantine(seg, r.f, end.end, seg.size-end.end)
	}
	return end
}

// scanRecords passes all records; the data of each is verified.
func (r *reader) scanRecords(end *ending) error {
	var buf []byte
	for {
		h, err := r.head()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.log.addPoint(r.v.seg, r.pos)
		e, err := r.data(h, buf)
		end.entries = true
		if corrupt := (*CorruptError)(nil); errors.As(err, &corrupt) {
			continue // counted; its header says what comes after it
		}
		if err != nil {
			return err
		}
		buf = e.Data
	}
}

// judgeTail says whether a cut write explains what follows the last record.
func (r *reader) judgeTail() tail {
	left := r.v.limit - r.pos.off
	if left <= 0 {
		return tailClean
	}
	if r.headErr != nil && r.v.limit >= segmentHeadBytes && !r.zeros(0, segmentHeadBytes) {
		return tailDamaged
	}
	b := make([]byte, min(left, recordHeadBytes))
	if readFull(r.f, b, r.pos.off) != nil {
		return tailDamaged
	}
	magic := magicBytes()
	if n := min(len(b), len(magic)); len(b) < recordHeadBytes && bytes.Equal(b[:n], magic[:n]) {
		return tailTorn
	}
	if h, err := decodeHeader(b, r.seed); err == nil && h.seq == r.pos.seq && h.recordBytes() > left {
		return tailTorn
	}
	if r.zeros(r.pos.off, r.v.limit) {
		return tailTorn
	}
	return tailDamaged
}

// zeros says whether all bytes of [from, to) are zero: space given to the file
// before its bytes were.
func (r *reader) zeros(from, to int64) bool {
	buf := make([]byte, cursorAhead)
	for from < to {
		part := buf[:min(int64(len(buf)), to-from)]
		if readFull(r.f, part, from) != nil || slices.ContainsFunc(part, func(b byte) bool { return b != 0 }) {
			return false
		}
		from += int64(len(part))
	}
	return true
}

// settlePosition sets next and sum from everything that proves a sequence given.
func (l *Log) settlePosition(inv *inventory, end ending, floor uint64) {
	l.next, l.sum = max(end.next, floor+1), end.sum
	if inv.marked {
		l.next, l.sum = max(l.next, inv.mark.last+1), max(l.sum, inv.mark.sum)
		l.marked.Store(inv.mark.last)
	}
	for _, c := range l.cursors {
		l.next = max(l.next, c.acked+1)
	}
	l.nextSeq.Store(l.next)
}

// epochChange says why a new epoch is needed, or nothing.
func (l *Log) epochChange(inv *inventory, end ending, floor uint64) string {
	found := len(l.segs) > 0 || len(l.cursors) > 0 || floor > 0
	switch {
	case inv.markErr != nil:
		return "mark damaged"
	case !inv.marked && !found:
		return reasonCreated
	case !inv.marked:
		return "mark missing"
	case end.tail == tailDamaged:
		return "repaired"
	case end.next < l.next:
		return "shorter than before"
	case len(l.segs) > 0 && end.headErr == nil && end.head.epoch != inv.mark.epoch && end.head.epoch != inv.mark.prev.epoch:
		return "mark of another epoch"
	}
	return ""
}

// setEpoch takes the epoch over from the mark, or begins a new one.
func (l *Log) setEpoch(inv *inventory, end ending, why string) {
	if why == "" {
		l.epoch, l.prev = inv.mark.epoch, inv.mark.prev
		return
	}
	_, _ = rand.Read(l.epoch[:]) // never fails (crypto/rand)
	l.prev = previous{epoch: end.head.epoch, last: l.next - 1, sum: l.sum}
	if inv.marked {
		l.prev.epoch = inv.mark.epoch
		// After a clean Close the mark itself says where the epoch ended.
		l.prev.known = inv.mark.clean && inv.mark.last == l.prev.last
	}
	if why == reasonCreated {
		l.opts.Log.Info("spool: created", "epoch", epochText(l.epoch))
		return
	}
	l.opts.Log.Error("spool: new epoch", "reason", why, "epoch", epochText(l.epoch),
		"previous_last", l.prev.last, "known", l.prev.known, "mark_error", inv.markErr)
}

func epochText(e [16]byte) string {
	return fmt.Sprintf("%016x%016x", binary.BigEndian.Uint64(e[:8]), binary.BigEndian.Uint64(e[8:]))
}

// placeCursors sets where each cursor reads on, and which segments were passed
// before: their time of last change says since when.
func (l *Log) placeCursors() {
	first := l.firstSeq.Load()
	for _, c := range l.cursors {
		c.acked = max(c.acked, first-1)
		c.next = c.acked + 1
	}
	acked, found := l.slowest()
	for i := range l.segs {
		if found && i+1 < len(l.segs) && l.segs[i+1].base-1 <= acked {
			l.segs[i].passed = true
		}
	}
}

// syncNewest makes durable what the scan has read: a process before this one may
// have died between its write and its fdatasync, and what a reader has seen must
// not be taken back by a power failure.
func (l *Log) syncNewest() bool {
	if len(l.segs) == 0 {
		return true
	}
	seg := l.segs[len(l.segs)-1]
	f, err := l.fs.open(seg.name, os.O_RDWR)
	if err == nil {
		err = errors.Join(f.sync(), f.close(), l.fs.syncDir())
	}
	if err != nil {
		l.opts.Log.Error("spool: newest segment cannot be synced", "segment", seg.base, "error", err)
	}
	return err == nil
}

// resume goes on in the newest segment when it ends cleanly, or can be cut to
// where it does. Otherwise the first commit begins another.
func (w *writer) resume(end ending) {
	segs := w.log.segs
	if len(segs) == 0 || end.headErr != nil {
		return
	}
	seg := segs[len(segs)-1]
	f, err := w.log.fs.open(seg.name, os.O_RDWR)
	if err == nil && end.tail == tailTorn {
		if err = errors.Join(f.truncate(end.end), f.sync()); err != nil {
			_ = f.close() // nothing was written
		}
	}
	if err != nil {
		w.log.opts.Log.Warn("spool: newest segment cannot be continued", "segment", seg.base, "error", err)
		return
	}
	w.f, w.seg, w.size = f, seg, end.end
	w.seed = headerSeed(end.head.epoch, end.head.base)
}
