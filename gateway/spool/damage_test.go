package spool_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

const (
	segHead = 64 // docs/formats/spool.md
	recHead = 36
)

// segmentFiles lists the segment files in order.
func segmentFiles(tb testing.TB, dir string) []string {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.seg"))
	if err != nil || len(names) == 0 {
		tb.Fatalf("segments: %v %v", names, err)
	}
	slices.Sort(names)
	return names
}

func edit(tb testing.TB, name string, change func([]byte) []byte) {
	tb.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(name, change(b), 0o600); err != nil {
		tb.Fatal(err)
	}
}

func copyFiles(tb testing.TB, from, to, pattern string) {
	tb.Helper()
	names, err := filepath.Glob(filepath.Join(from, pattern))
	if err != nil || len(names) == 0 {
		tb.Fatalf("%s: %v %v", pattern, names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), b, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

func flip(at int) func([]byte) []byte {
	return func(b []byte) []byte { b[at] ^= 0x10; return b }
}

// corruption is one way to spoil a log of two segments: entries of 100 bytes,
// 20 per segment, 30 in all.
type corruption struct {
	name     string
	file     int // index of the segment
	change   func([]byte) []byte
	lost     []uint64
	newEpoch bool
	next     uint64
}

func corruptions() []corruption {
	const rec = recHead + 100
	at := func(n int) int { return segHead + n*rec }
	fake := func(b []byte) []byte { // a record's bytes inside a damaged entry
		copy(b[at(3)+recHead+10:], b[at(1):at(1)+recHead])
		b[at(3)] ^= 1
		return b
	}
	return []corruption{
		{name: "data bit in the middle", file: 0, change: flip(at(5) + recHead + 7), lost: []uint64{6}, next: 31},
		{name: "header bit in the middle", file: 0, change: flip(at(5) + 13), lost: []uint64{6}, next: 31},
		{name: "length bit", file: 0, change: flip(at(5) + 5), lost: []uint64{6}, next: 31},
		{name: "magic of the first", file: 0, change: flip(at(0)), lost: []uint64{1}, next: 31},
		{name: "last of an old segment", file: 0, change: flip(at(19) + 3), lost: []uint64{20}, next: 31},
		{name: "old segment cut", file: 0, change: func(b []byte) []byte { return b[:at(17)+50] }, lost: []uint64{18, 19, 20}, next: 31},
		{name: "old segment emptied", file: 0, change: func([]byte) []byte { return nil }, lost: seqs(1, 20), next: 31},
		{name: "old segment's head", file: 0, change: flip(30), next: 31},
		{name: "head and first record", file: 0, change: func(b []byte) []byte { return flip(30)(flip(at(0) + 1)(b)) }, lost: []uint64{1}, next: 31},
		{name: "three in a row", file: 0, change: func(b []byte) []byte { clear(b[at(4)+1 : at(7)-1]); return b }, lost: []uint64{5, 6, 7}, next: 31},
		{name: "copy of a header inside damage", file: 0, change: fake, lost: []uint64{4}, next: 31},
		{name: "data bit in the newest", file: 1, change: flip(at(3) + recHead), lost: []uint64{24}, next: 31},
		{name: "newest segment's head", file: 1, change: flip(10), next: 31},
		{name: "data of the very last", file: 1, change: flip(at(9) + recHead + 1), lost: []uint64{30}, next: 31},
		{name: "header of the very last", file: 1, change: flip(at(9) + 14), newEpoch: true, lost: []uint64{30}, next: 31},
		{name: "last record cut: shorter than the mark", file: 1, change: func(b []byte) []byte { return b[:len(b)-1] }, newEpoch: true, lost: []uint64{30}, next: 31},
		{name: "newest segment emptied", file: 1, change: func([]byte) []byte { return nil }, newEpoch: true, lost: seqs(21, 30), next: 31},
		{name: "torn record after the end", file: 1, change: func(b []byte) []byte { return append(b, b[at(0):at(0)+20]...) }, next: 31},
		{name: "zeros after the end", file: 1, change: func(b []byte) []byte { return append(b, make([]byte, 5000)...) }, next: 31},
		{name: "garbage after the end", file: 1, change: func(b []byte) []byte { return append(b, bytes.Repeat([]byte("x"), 5000)...) }, newEpoch: true, next: 31},
	}
}

func seqs(from, to uint64) (out []uint64) {
	for ; from <= to; from++ {
		out = append(out, from)
	}
	return out
}

func TestDamageIsPassedAndCounted(t *testing.T) {
	for _, c := range corruptions() {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := spool.Options{SegmentBytes: segHead + 20*(recHead+100)}
			l := mustOpen(t, dir, o)
			mustCursor(t, l, "sink")
			fill(t, l, 31, 100)
			epoch := l.Epoch()
			mustClose(t, l)
			files := segmentFiles(t, dir)
			if len(files) != 2 {
				t.Fatalf("%d segments", len(files))
			}
			edit(t, files[c.file], c.change)
			c.verify(t, dir, o, epoch)
		})
	}
}

func (c corruption) verify(t *testing.T, dir string, o spool.Options, epoch [16]byte) {
	t.Helper()
	l := mustOpen(t, dir, o)
	if _, next, _ := l.Bounds(); next != c.next {
		t.Fatalf("next %d, want %d", next, c.next)
	}
	if changed := l.Epoch() != epoch; changed != c.newEpoch {
		t.Fatalf("new epoch: %v", changed)
	}
	if prev, prevLast, _, _ := l.EpochInfo(); c.newEpoch && (prev != epoch || prevLast != c.next-1) {
		t.Fatalf("previous epoch %x ended with %d", prev, prevLast)
	}
	cursor := mustCursor(t, l, "sink")
	var weight uint64
	for seq := uint64(1); seq < c.next; seq++ {
		if slices.Contains(c.lost, seq) {
			weight += uint64(weightOf(seq))
			continue
		}
		drainOne(t, cursor, seq)
	}
	nothingMore(t, cursor)
	for _, seq := range c.lost {
		if _, err := l.Read(seq, nil); !errors.As(err, new(*spool.CorruptError)) {
			t.Fatalf("entry %d: %v", seq, err)
		}
	}
	if got, want := l.Stats().Lost, (spool.Count{Entries: uint64(len(c.lost)), Weight: weight}); got != want {
		t.Fatalf("lost %+v, want %+v", got, want)
	}
	fill(t, l, c.next+5, 100)
	drain(t, cursor, c.next, c.next+4, 100)
	// A second start finds no new reason for anything.
	epoch = l.Epoch()
	mustClose(t, l)
	if l = mustOpen(t, dir, o); l.Epoch() != epoch {
		t.Fatal("another epoch at the next start")
	}
}

func drainOne(t *testing.T, c *spool.Cursor, seq uint64) {
	t.Helper()
	drain(t, c, seq, seq, 100)
}

func TestQuarantineKeepsTheBytes(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{})
	fill(t, l, 11, 100)
	mustClose(t, l)
	var damaged []byte
	edit(t, segmentFiles(t, dir)[0], func(b []byte) []byte {
		at := segHead + 4*(recHead+100)
		b[at+2] ^= 1
		damaged = bytes.Clone(b[at : at+recHead+100])
		return b
	})
	for range 2 { // found again after a restart, kept once
		l = mustOpen(t, dir, spool.Options{})
		if q := l.Stats().Quarantined; q != int64(len(damaged)) {
			t.Fatalf("%d bytes in quarantine", q)
		}
		mustClose(t, l)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.bad"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v %v", names, err)
	}
	if got, err := os.ReadFile(names[0]); err != nil || !bytes.Equal(got, damaged) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
}

func TestShorterThanTheMark(t *testing.T) {
	for _, remove := range []string{"*.seg", "mark", "*"} {
		t.Run(remove, func(t *testing.T) {
			dir := t.TempDir()
			l := mustOpen(t, dir, spool.Options{})
			c := mustCursor(t, l, "sink")
			fill(t, l, 21, 100)
			c.Ack(12)
			epoch := l.Epoch()
			_, _, sum := l.Bounds()
			mustClose(t, l)
			removeAll(t, dir, remove)
			l = mustOpen(t, dir, spool.Options{})
			if l.Epoch() == epoch {
				t.Fatal("same epoch")
			}
			_, next, _ := l.Bounds()
			prev, last, prevSum, known := l.EpochInfo()
			switch remove {
			case "*.seg":
				if next != 21 || prev != epoch || last != 20 || prevSum != sum || !known {
					t.Fatalf("next %d, previous %x %d %d %v", next, prev, last, prevSum, known)
				}
			case "mark":
				if next != 21 || prev != epoch || known {
					t.Fatalf("next %d, previous %x known %v", next, prev, known)
				}
			case "*":
				if next != 1 || known {
					t.Fatalf("next %d, known %v", next, known)
				}
			}
			fill(t, l, next+1, 100)
			second := l.Epoch()
			mustClose(t, l)
			if l = mustOpen(t, dir, spool.Options{}); l.Epoch() != second {
				t.Fatal("the new epoch did not last")
			}
		})
	}
}

func removeAll(t *testing.T, dir, pattern string) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) == 0 {
		t.Fatalf("%v %v", names, err)
	}
	for _, name := range names {
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCursorAheadOfEverythingElse(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{})
	fill(t, l, 21, 100)
	mustCursor(t, l, "sink").Ack(17)
	mustClose(t, l)
	removeAll(t, dir, "*.seg")
	removeAll(t, dir, "mark")
	l = mustOpen(t, dir, spool.Options{})
	if _, next, _ := l.Bounds(); next != 18 {
		t.Fatalf("next %d: a sequence was given twice", next)
	}
}

// An entry whose write was cut leaves nothing behind: a shorter one in its place
// is not followed by the rest of it.
func TestTornEndIsCut(t *testing.T) {
	live, dir := t.TempDir(), t.TempDir()
	l := mustOpen(t, live, spool.Options{})
	fill(t, l, 6, 100)
	epoch := l.Epoch()
	copyFiles(t, live, dir, "*") // with a mark that does not know of the next entry
	fill(t, l, 7, 100_000)
	copyFiles(t, live, dir, "*.seg")
	edit(t, segmentFiles(t, dir)[0], func(b []byte) []byte { return b[:50_000] })
	for _, size := range []int{100, 200} {
		l := mustOpen(t, dir, spool.Options{})
		_, next, _ := l.Bounds()
		fill(t, l, next+1, size)
		mustClose(t, l)
	}
	l = mustOpen(t, dir, spool.Options{})
	if _, next, _ := l.Bounds(); next != 8 || l.Epoch() != epoch || l.Stats().Lost.Entries != 0 {
		t.Errorf("next %d, epoch kept %v, %+v", next, l.Epoch() == epoch, l.Stats().Lost)
	}
}

// A segment that was named and never begun still says which sequences had been
// given before it.
func TestSegmentThatWasOnlyNamed(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{})
	fill(t, l, 21, 100)
	epoch := l.Epoch()
	mustClose(t, l)
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%020d.seg", 40)), []byte("SL"), 0o600); err != nil {
		t.Fatal(err)
	}
	l = mustOpen(t, dir, spool.Options{})
	if _, next, _ := l.Bounds(); next != 40 {
		t.Errorf("next %d: a sequence was given twice", next)
	}
	if l.Epoch() == epoch {
		t.Error("entries are missing and the epoch is the same")
	}
}

func TestDamagedCursorBeginsAgain(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{})
	fill(t, l, 11, 100)
	mustCursor(t, l, "sink").Ack(7)
	mustClose(t, l)
	edit(t, filepath.Join(dir, "sink.cursor"), flip(9))
	l = mustOpen(t, dir, spool.Options{})
	drain(t, mustCursor(t, l, "sink"), 1, 10, 100)
}

func TestDamageMetWhileOpen(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{})
	c := mustCursor(t, l, "sink")
	fill(t, l, 11, 100)
	f, err := os.OpenFile(segmentFiles(t, dir)[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damage"), segHead+9*(recHead+100)-2); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	drain(t, c, 1, 8, 100)
	nothingMore(t, c) // 9 and 10 are damaged, nothing follows them yet
	fill(t, l, 12, 100)
	drain(t, c, 11, 11, 100)
	if lost := l.Stats().Lost.Entries; lost != 2 {
		t.Fatalf("%d lost", lost)
	}
	if last, found, err := l.Last(); err != nil || !found || last.Seq != 11 {
		t.Fatalf("last %d %v %v", last.Seq, found, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Next(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

func TestLastIsTheNewestReadable(t *testing.T) {
	dir := t.TempDir()
	o := spool.Options{SegmentBytes: segHead + 5*(recHead+100)}
	l := mustOpen(t, dir, o)
	fill(t, l, 7, 100)
	mustClose(t, l)
	edit(t, segmentFiles(t, dir)[1], flip(segHead+recHead+50))
	l = mustOpen(t, dir, o)
	last, found, err := l.Last()
	if err != nil || !found {
		t.Fatalf("%v %v", found, err)
	}
	check(t, last, 5, 100)
}
