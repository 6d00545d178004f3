package spool_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

// record keeps what Options.Evict is told.
type record struct {
	mu    sync.Mutex
	heads []spool.EntryHead
	err   error // to be returned
}

func (r *record) evict(h spool.EntryHead) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return r.err
	}
	h.Data = bytes.Clone(h.Data)
	r.heads = append(r.heads, h)
	return nil
}

func (r *record) set(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

func (r *record) told() []spool.EntryHead {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.heads)
}

func evictOptions(r *record) spool.Options {
	o := fullOptions(spool.DropOldest)
	o.Evict = r.evict
	return o
}

// checkTold compares what was told with the entries from..end-1 that fill makes.
func checkTold(t *testing.T, heads []spool.EntryHead, from, end uint64, size int) {
	t.Helper()
	if uint64(len(heads)) != end-from {
		t.Fatalf("%d entries named, %d-%d were dropped", len(heads), from, end-1)
	}
	sum := between(1, from).Weight
	for i, h := range heads {
		seq := from + uint64(i) // #nosec G115 -- index
		want := payload(seq, size)
		switch {
		case h.Seq != seq || h.Last != seq || h.Err != nil:
			t.Fatalf("%d-%d named (%v) where %d is due", h.Seq, h.Last, h.Err, seq)
		case h.Weight != uint64(weightOf(seq)) || h.SumBefore != sum || h.Bytes != int64(len(want)):
			t.Fatalf("entry %d: weight %d sum %d bytes %d", seq, h.Weight, h.SumBefore, h.Bytes)
		case !bytes.Equal(h.Data, want[:min(256, len(want))]):
			t.Fatalf("entry %d: other bytes", seq)
		}
		sum += h.Weight
	}
}

func TestEvictNamesWhatIsNotSent(t *testing.T) {
	for _, size := range []int{fullEntry, 100} {
		r := &record{}
		l := mustOpen(t, t.TempDir(), evictOptions(r))
		slow, quick := mustCursor(t, l, "slow"), mustCursor(t, l, "quick")
		fill(t, l, 31, size)
		slow.Ack(10)
		quick.Ack(30)
		fill(t, l, 1001, size)
		first, _, _ := l.Bounds()
		if first < 100 {
			t.Fatalf("first is %d: nothing was dropped", first)
		}
		checkTold(t, r.told(), 11, first, size)
		if s := l.Stats(); s.Dropped[spool.DropOldestUnsent] != between(11, first) || s.Cursors[0].Dropped != between(31, first) {
			t.Fatalf("%+v", s)
		}
	}
}

func TestEvictWithoutCursors(t *testing.T) {
	r := &record{}
	l := mustOpen(t, t.TempDir(), evictOptions(r))
	fill(t, l, 201, fullEntry)
	first, _, _ := l.Bounds()
	checkTold(t, r.told(), 1, first, fullEntry)
}

// TestLossThatCannotBeRecorded keeps everything until it can.
func TestLossThatCannotBeRecorded(t *testing.T) {
	r := &record{err: errors.New("ledger is read-only")}
	l := mustOpen(t, t.TempDir(), evictOptions(r))
	mustCursor(t, l, "sink")
	last := fillUp(t, l)
	s := l.Stats()
	if s.State != spool.StateFull || !strings.Contains(s.StateError, "ledger is read-only") || s.First != 1 || len(s.Dropped) != 0 {
		t.Fatalf("%+v", s)
	}
	r.set(nil)
	fill(t, l, last+2, fullEntry)
	first, _, _ := l.Bounds()
	checkTold(t, r.told(), 1, first, fullEntry)
	if s := l.Stats(); s.State != spool.StateOK || s.Dropped[spool.DropOldestUnsent] != between(1, first) {
		t.Fatalf("%+v", s)
	}
}

// TestSentIsNotNamed deletes what is sent without a word.
func TestSentIsNotNamed(t *testing.T) {
	r := &record{err: errors.New("nothing to be named")}
	o := evictOptions(r)
	o.KeepSent = time.Hour
	l := mustOpen(t, t.TempDir(), o)
	c := mustCursor(t, l, "sink")
	for last := uint64(20); last <= 200; last += 20 {
		fill(t, l, last+1, fullEntry)
		c.Ack(last)
	}
	if s := l.Stats(); len(s.Dropped) != 0 || s.First == 1 {
		t.Fatalf("%+v", s)
	}
}

// TestEvictOfDamage drops segments whose bytes have suffered: every sequence is
// named once, readable or not, and the weights add up.
func TestEvictOfDamage(t *testing.T) {
	const record = fullEntry + 36 // docs/formats/spool.md
	at := func(n int) int { return 64 + (n-1)*record }
	for name, damage := range map[string]func(b []byte) []byte{
		"data":          func(b []byte) []byte { b[at(3)+500] ^= 1; return b },
		"header":        func(b []byte) []byte { b[at(3)+13] ^= 1; return b },
		"two headers":   func(b []byte) []byte { b[at(3)+13] ^= 1; b[at(4)+13] ^= 1; return b },
		"first header":  func(b []byte) []byte { b[at(1)+13] ^= 1; return b },
		"segment head":  func(b []byte) []byte { b[20] ^= 1; return b },
		"end":           func(b []byte) []byte { return b[:at(4)+20] },
		"everything":    func(b []byte) []byte { return make([]byte, len(b)) },
		"nothing there": func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			r := &chain{}
			l := mustOpen(t, dir, evictOptions(&r.record))
			mustCursor(t, l, "sink")
			fill(t, l, 31, fullEntry)
			path := filepath.Join(dir, "00000000000000000001.seg")
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if b = damage(b); b == nil {
				err = os.Remove(path)
			} else {
				err = os.WriteFile(path, b, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			fill(t, l, 201, fullEntry)
			first, _, _ := l.Bounds()
			r.check(t, first)
			if named := r.damaged > 0; named == (name == "segment head") { // the records stand without it
				t.Fatalf("%d damaged", r.damaged)
			}
		})
	}
}

// chain checks that sequences and weights are without a hole.
type chain struct {
	record
	damaged int
}

func (r *chain) check(t *testing.T, end uint64) {
	t.Helper()
	due := uint64(1)
	for _, h := range r.told() {
		want := between(h.Seq, h.Last+1)
		if h.Seq != due || h.Last < h.Seq || h.Weight != want.Weight {
			t.Fatalf("%d-%d of weight %d named where %d is due, %+v", h.Seq, h.Last, h.Weight, due, want)
		}
		if h.SumBefore != between(1, h.Seq).Weight {
			t.Fatalf("%d-%d: sum %d", h.Seq, h.Last, h.SumBefore)
		}
		if (h.Err == nil) != bytes.Equal(h.Data, payload(h.Seq, fullEntry)[:256]) {
			t.Fatalf("%d-%d: %v with %d bytes", h.Seq, h.Last, h.Err, len(h.Data))
		}
		if h.Err != nil {
			r.damaged++
		}
		due = h.Last + 1
	}
	if due != end {
		t.Fatalf("named to %d, dropped to %d", due-1, end-1)
	}
}
