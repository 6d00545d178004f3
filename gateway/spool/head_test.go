package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

func TestReadHead(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{SegmentBytes: 64 << 10})
	const size = 20 << 10 // more than is read ahead
	fill(t, l, 21, size)
	for _, seq := range []uint64{20, 1, 7, 8, 2} {
		for _, n := range []int{0, 1, 256, size - 1, size, size + 1} {
			h, err := l.ReadHead(seq, n)
			want := payload(seq, size)
			if err != nil || h.Seq != seq || h.Last != seq || h.Bytes != size || h.Err != nil {
				t.Fatalf("entry %d, %d bytes: %+v %v", seq, n, h.Seq, err)
			}
			if h.Weight != uint64(weightOf(seq)) || h.SumBefore != between(1, seq).Weight || !bytes.Equal(h.Data, want[:min(n, size)]) {
				t.Fatalf("entry %d, %d bytes: other content", seq, n)
			}
		}
	}
	if _, err := l.ReadHead(21, 10); !errors.Is(err, spool.ErrNotYet) {
		t.Fatal(err)
	}
	if _, err := l.ReadHead(0, 10); !errors.As(err, new(spool.ErrGone)) {
		t.Fatal(err)
	}
	if _, err := l.ReadHead(1, -1); err == nil {
		t.Fatal("a negative number of bytes was taken")
	}
	mustClose(t, l)
	if _, err := l.ReadHead(1, 10); !errors.Is(err, spool.ErrClosed) {
		t.Fatal(err)
	}
}

// TestReadHeadOfDamage says what is verified: the header always, the data only
// when all of it is read.
func TestReadHeadOfDamage(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{})
	fill(t, l, 4, 1000)
	path := filepath.Join(dir, "00000000000000000001.seg")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[64+36+900] ^= 1    // data of entry 1
	b[64+1036+14] ^= 1   // header of entry 2
	b = b[:64+2*1036+50] // entry 3 ends early
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if h, err := l.ReadHead(1, 256); err != nil || !bytes.Equal(h.Data, payload(1, 1000)[:256]) {
		t.Fatalf("%d bytes: %v", len(h.Data), err)
	}
	for seq, n := range map[uint64]int{1: 1000, 2: 10, 3: 256} {
		if h, err := l.ReadHead(seq, n); !errors.As(err, new(*spool.CorruptError)) {
			t.Fatalf("entry %d: %+v %v", seq, h, err)
		}
	}
}

func TestWeigh(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{SegmentBytes: 8 << 10})
	c := mustCursor(t, l, "sink")
	fill(t, l, 101, 500)
	for _, r := range [][2]uint64{{1, 1}, {1, 100}, {100, 100}, {14, 15}, {15, 16}, {16, 60}, {50, 99}} {
		entries, weight, n, err := l.Weigh(r[0], r[1])
		want := between(r[0], r[1]+1)
		if err != nil || entries != want.Entries || weight != want.Weight || n != int64(want.Entries)*500 {
			t.Fatalf("%d-%d: %d entries, weight %d, %d bytes: %v", r[0], r[1], entries, weight, n, err)
		}
	}
	if _, _, _, err := l.Weigh(5, 4); err == nil {
		t.Fatal("a range that ends before it begins was taken")
	}
	if _, _, _, err := l.Weigh(90, 101); !errors.Is(err, spool.ErrNotYet) {
		t.Fatal(err)
	}
	if _, _, _, err := l.Weigh(90, 1<<64-1); !errors.Is(err, spool.ErrNotYet) {
		t.Fatal(err)
	}
	c.Ack(50)
	eventually(t, "deleted", func() bool { first, _, _ := l.Bounds(); return first > 30 })
	first, _, _ := l.Bounds()
	if _, _, _, err := l.Weigh(1, 100); !errors.Is(err, spool.ErrGone{First: first}) {
		t.Fatal(err)
	}
	if entries, weight, _, err := l.Weigh(first, 100); err != nil || (spool.Count{Entries: entries, Weight: weight}) != between(first, 101) {
		t.Fatalf("%d %d %v", entries, weight, err)
	}
}

// TestWeighWithDamage counts by sequences and weighs by sums where bytes are lost.
func TestWeighWithDamage(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, dir, spool.Options{SegmentBytes: 8 << 10})
	fill(t, l, 61, 500)
	if err := os.Remove(filepath.Join(dir, "00000000000000000016.seg")); err != nil {
		t.Fatal(err)
	}
	entries, weight, _, err := l.Weigh(1, 60)
	if err != nil || (spool.Count{Entries: entries, Weight: weight}) != between(1, 61) {
		t.Fatalf("%d %d %v", entries, weight, err)
	}
}
