package spool_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

func TestMain(m *testing.M) {
	if runChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

// patience bounds what a test waits for; nothing should ever take as long.
const patience = 20 * time.Second

func mustOpen(tb testing.TB, dir string, o spool.Options) *spool.Log {
	tb.Helper()
	l, err := spool.Open(dir, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return l
}

func mustClose(tb testing.TB, l *spool.Log) {
	tb.Helper()
	if err := l.Close(); err != nil {
		tb.Fatal(err)
	}
}

func mustCursor(tb testing.TB, l *spool.Log, name string) *spool.Cursor {
	tb.Helper()
	c, err := l.Cursor(name)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// payload is recognisable content for entry i, n bytes long (at least 8).
func payload(i uint64, n int) []byte {
	b := make([]byte, max(n, 8))
	r := rand.NewChaCha8([32]byte(fmt.Appendf(nil, "%032d", i)))
	_, _ = r.Read(b)
	binary.LittleEndian.PutUint64(b, i)
	return b
}

func weightOf(i uint64) uint32 { return uint32(i%7 + 1) }

// fill appends entries until the log's next is to, each payload(seq, size).
func fill(tb testing.TB, l *spool.Log, to uint64, size int) {
	tb.Helper()
	_, next, _ := l.Bounds()
	for ; next < to; next++ {
		seq, err := l.Append(tb.Context(), weightOf(next), payload(next, size))
		if err != nil || seq != next {
			tb.Fatalf("append: sequence %d, error %v, want sequence %d", seq, err, next)
		}
	}
}

// drain reads entries first..last from c and compares them.
func drain(tb testing.TB, c *spool.Cursor, first, last uint64, size int) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	defer cancel()
	var buf []byte
	for seq := first; seq <= last; seq++ {
		e, err := c.Next(ctx, buf)
		if err != nil {
			tb.Fatalf("entry %d: %v", seq, err)
		}
		check(tb, e, seq, size)
		buf = e.Data
	}
}

func check(tb testing.TB, e spool.Entry, seq uint64, size int) {
	tb.Helper()
	var sum uint64
	for i := uint64(1); i < seq; i++ {
		sum += uint64(weightOf(i))
	}
	if e.Seq != seq || e.Weight != weightOf(seq) || e.SumBefore != sum {
		tb.Fatalf("entry: sequence %d weight %d sum %d, want %d %d %d", e.Seq, e.Weight, e.SumBefore, seq, weightOf(seq), sum)
	}
	if !bytes.Equal(e.Data, payload(seq, size)) {
		tb.Fatalf("entry %d: %d bytes that differ", seq, len(e.Data))
	}
}

// nothingMore asserts that c has no entry to give.
func nothingMore(tb testing.TB, c *spool.Cursor) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Millisecond)
	defer cancel()
	if e, err := c.Next(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		tb.Fatalf("entry %d, error %v, want none", e.Seq, err)
	}
}

// eventually polls until ok, or fails.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.Now().Add(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			tb.Fatalf("not within %v: %s", patience, what)
		}
		<-tick.C
	}
}

func TestAppendAndReadBack(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{SegmentBytes: 64 << 10})
	c := mustCursor(t, l, "sink")
	fill(t, l, 301, 1000)
	drain(t, c, 1, 300, 1000)
	nothingMore(t, c)
	for _, seq := range []uint64{300, 1, 150, 151, 2, 299} {
		e, err := l.Read(seq, nil)
		if err != nil {
			t.Fatal(err)
		}
		check(t, e, seq, 1000)
	}
	if _, err := l.Read(301, nil); !errors.Is(err, spool.ErrNotYet) {
		t.Fatalf("beyond the end: %v", err)
	}
	last, found, err := l.Last()
	if err != nil || !found {
		t.Fatalf("last: %v %v", found, err)
	}
	check(t, last, 300, 1000)
}

func TestPartsAreConcatenated(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{})
	big := payload(1, 400<<10) // above the size that is copied together
	for i, parts := range [][][]byte{
		{[]byte("head"), []byte("body")}, {}, {nil}, {nil, []byte("x"), nil}, {big, nil, []byte("tail")},
	} {
		seq, err := l.Append(t.Context(), 1, parts...)
		if err != nil {
			t.Fatal(err)
		}
		e, err := l.Read(seq, nil)
		if err != nil || !bytes.Equal(e.Data, bytes.Join(parts, nil)) {
			t.Fatalf("case %d: %d bytes, %v", i, len(e.Data), err)
		}
	}
}

func TestEmptyLog(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{})
	if first, next, sum := l.Bounds(); first != 1 || next != 1 || sum != 0 {
		t.Fatalf("bounds %d %d %d", first, next, sum)
	}
	if _, found, err := l.Last(); found || err != nil {
		t.Fatalf("last: %v %v", found, err)
	}
	if l.Epoch() == ([16]byte{}) {
		t.Fatal("no epoch")
	}
	if _, _, _, known := l.EpochInfo(); known {
		t.Fatal("a first epoch has no previous one")
	}
	if _, err := l.Read(0, nil); !errors.As(err, new(spool.ErrGone)) {
		t.Fatalf("sequence 0: %v", err)
	}
}

func TestRestartResumesExactly(t *testing.T) {
	dir := t.TempDir()
	o := spool.Options{SegmentBytes: 8 << 10}
	l := mustOpen(t, dir, o)
	epoch := l.Epoch()
	c := mustCursor(t, l, "sink")
	fill(t, l, 101, 500)
	drain(t, c, 1, 60, 500)
	c.Ack(55)
	mustClose(t, l)

	l = mustOpen(t, dir, o)
	if l.Epoch() != epoch {
		t.Fatal("new epoch after a clean restart")
	}
	if first, next, _ := l.Bounds(); next != 101 || first > 56 {
		t.Fatalf("bounds %d %d", first, next)
	}
	c = mustCursor(t, l, "sink")
	if c.Acked() != 55 {
		t.Fatalf("acked %d", c.Acked())
	}
	drain(t, c, 56, 100, 500)
	fill(t, l, 151, 500)
	drain(t, c, 101, 150, 500)
}

func TestEmptiedLogNeverRestartsAtOne(t *testing.T) {
	dir := t.TempDir()
	o := spool.Options{SegmentBytes: 4 << 10}
	l := mustOpen(t, dir, o)
	c := mustCursor(t, l, "sink")
	fill(t, l, 51, 500)
	c.Ack(50)
	eventually(t, "sent segments deleted", func() bool { return l.Stats().Segments == 1 })
	if last, found, err := l.Last(); err != nil || !found || last.Seq != 50 {
		t.Fatalf("the newest entry must stay: %v %v", found, err)
	}
	mustClose(t, l)
	l = mustOpen(t, dir, o)
	if _, next, sum := l.Bounds(); next != 51 || sum == 0 {
		t.Fatalf("next %d sum %d", next, sum)
	}
	fill(t, l, 52, 500)
}

func TestOneOwner(t *testing.T) {
	dir := t.TempDir()
	mustOpen(t, dir, spool.Options{})
	_, err := spool.Open(dir, spool.Options{})
	if !errors.Is(err, spool.ErrLocked) {
		t.Fatalf("second owner: %v", err)
	}
	if want := fmt.Sprintf("process %d", pid()); !bytes.Contains([]byte(err.Error()), []byte(want)) {
		t.Fatalf("%q does not say %q", err, want)
	}
}

func TestAfterClose(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{})
	c := mustCursor(t, l, "sink")
	blocked := make(chan error, 1)
	go func() {
		_, err := c.Next(t.Context(), nil)
		blocked <- err
	}()
	mustClose(t, l)
	if err := <-blocked; !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("next: %v", err)
	}
	if _, err := l.Append(t.Context(), 1, nil); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("append: %v", err)
	}
	if _, err := l.Read(1, nil); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("read: %v", err)
	}
	if _, err := l.Cursor("other"); !errors.Is(err, spool.ErrClosed) {
		t.Fatalf("cursor: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{MaxBytes: 64 << 10})
	if _, err := l.Append(t.Context(), 1, make([]byte, 16<<10)); !errors.Is(err, spool.ErrTooLarge) {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), 1, make([]byte, 16<<10-200)); err != nil {
		t.Fatal(err)
	}
}

func TestTooLargeForBudget(t *testing.T) {
	l := mustOpen(t, t.TempDir(), spool.Options{Budget: spool.NewBudget(64<<10, 2)})
	if _, err := l.Append(t.Context(), 1, make([]byte, 16<<10)); !errors.Is(err, spool.ErrTooLarge) {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), 1, make([]byte, 16<<10-200)); err != nil {
		t.Fatal(err)
	}
}

func TestPolicyNames(t *testing.T) {
	for _, p := range []spool.Policy{spool.Refuse, spool.DropNew, spool.DropOldest} {
		if back, err := spool.ParsePolicy(p.String()); err != nil || back != p {
			t.Errorf("%v: %v %v", p, back, err)
		}
	}
	if _, err := spool.ParsePolicy("Refuse"); err == nil {
		t.Error("words are lower case")
	}
}

func TestBadOptions(t *testing.T) {
	for _, o := range []spool.Options{
		{MaxBytes: 1000}, {MaxBytes: -1}, {SegmentBytes: -1}, {QueueBytes: -1}, {Linger: -1}, {KeepSent: -1}, {WhenFull: 9}, {Budget: spool.NewBudget(1000, 1)},
	} {
		if l, err := spool.Open(t.TempDir(), o); err == nil {
			t.Errorf("%+v was taken", o)
			mustClose(t, l)
		}
	}
}

func TestOpenMakesTheDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	fill(t, mustOpen(t, dir, spool.Options{}), 2, 10)
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%v %v", info.Mode(), err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(file, spool.Options{}); err == nil {
		t.Fatal("a file is no directory")
	}
}
