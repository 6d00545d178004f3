package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/ledger"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// bookWorld is a receiving end whose process ends at any moment, and what is true of it.
type bookWorld struct {
	t    *rapid.T
	dir  string
	x    *group
	far  *far
	next uint64          // sequence that the near side gives next
	open map[uint64]bool // missing
	had  map[uint64]int  // how often each batch stands in the spool
	sum  [2]uint64       // declared, filled
}

func (w *bookWorld) start() {
	b, err := openBooks(filepath.Join(w.dir, "ledger"), nil, quiet())
	w.must(err)
	w.x = &group{name: "d", books: b, log: quiet()}
	w.x.origin, err = openOrigin(w.dir, fromOrigin("d"), spool.Options{SegmentBytes: 512}, quiet())
	w.must(err)
	w.must(b.follow(w.x.origin))
	f, at, err := w.x.landing(context.Background())
	w.must(err)
	w.far = f
	w.check(at.open)
}

// crash ends the process: of the ledger only what was on disk at some moment before is left, and the spool has all.
func (w *bookWorld) crash(kept string) {
	w.must(errors.Join(w.x.origin.Close(), w.x.books.close()))
	w.must(os.RemoveAll(filepath.Join(w.dir, "ledger")))
	w.must(os.CopyFS(filepath.Join(w.dir, "ledger"), os.DirFS(kept)))
	w.start()
}

func (w *bookWorld) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *bookWorld) deliver(b diode.Batch) {
	done := make(chan error, 1)
	w.must(w.far.Deliver(context.Background(), b, func(err error) { done <- err }))
	w.must(<-done)
	w.had[b.Seq]++
}

func (w *bookWorld) step(n int) {
	switch seq := w.anyOpen(); {
	case n < 4:
		w.deliver(batchOf(1, w.next))
		w.next++
	case n < 7:
		last := w.next + uint64(n-4)*2
		w.must(w.far.Gap(context.Background(), gapOf(1, w.next, last, diode.ReasonLink)))
		for ; w.next <= last; w.next++ {
			w.open[w.next] = true
			w.sum[0]++
		}
	case seq != 0:
		b := batchOf(1, seq)
		b.Late, b.Resent = true, n == 8
		w.deliver(b)
		delete(w.open, seq)
		w.sum[1]++
	}
}

func (w *bookWorld) anyOpen() uint64 {
	for seq := uint64(1); seq < w.next; seq++ {
		if w.open[seq] {
			return seq
		}
	}
	return 0
}

// check compares what the link would ask for with what is missing.
func (w *bookWorld) check(gaps []diode.Gap) {
	got := map[uint64]bool{}
	for _, g := range gaps {
		for seq := g.First; seq <= g.Last; seq++ {
			got[seq] = true
		}
	}
	if len(got) != len(w.open) {
		w.t.Fatalf("missing %v, want %v", got, w.open)
	}
	for seq := range got {
		if !w.open[seq] {
			w.t.Fatalf("batch %d is called missing", seq)
		}
	}
	sum := w.x.books.totals()[0]
	if sum.Declared.Batches != w.sum[0] || sum.Filled.Batches != w.sum[1] || sum.Open.Batches != w.sum[0]-w.sum[1] || sum.Final.Batches != 0 {
		w.t.Fatalf("totals %+v, want %d declared, %d filled", sum, w.sum[0], w.sum[1])
	}
	for seq, n := range w.had {
		if n != 1 {
			w.t.Fatalf("batch %d stands in the spool %d times", seq, n)
		}
	}
}

func TestLedgerAndSpoolAgreeAfterACrashAtAnyMoment(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "books") //nolint:usetesting // one for each run of the property, not for the test
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir) //nolint:errcheck // a directory of the test
		w := &bookWorld{t: t, dir: filepath.Join(dir, "state"), next: 1, open: map[uint64]bool{}, had: map[uint64]int{}}
		w.start()
		defer func() { _ = w.x.origin.Close(); _ = w.x.books.close() }()
		kept := ""
		for i, n := range rapid.SliceOfN(rapid.IntRange(0, 11), 1, 60).Draw(t, "steps") {
			switch {
			case n == 9 || kept == "": // what the spool may forget from here on, the copy has
				w.must(w.x.books.keep(context.Background()))
				kept = filepath.Join(dir, fmt.Sprint("kept", i))
				w.must(os.CopyFS(kept, os.DirFS(filepath.Join(w.dir, "ledger"))))
			case n == 10:
				w.crash(kept)
			case n == 11:
				w.x.books.mu.Lock() // as after an error of the ledger's disk
				w.x.books.classes[0].following = false
				w.x.books.mu.Unlock()
			default:
				w.step(n)
			}
		}
		if kept != "" {
			w.crash(kept)
		}
		w.must(w.x.books.keep(context.Background()))
		w.check(w.x.books.ledger.Missing())
	})
}

// What the spool gives up before a sink had it is missing again; what every sink had, and gaps, are not.
func TestWhatTheFarSpoolGivesUpIsNamed(t *testing.T) {
	x := testGroup(t, t.TempDir(), spool.Options{MaxBytes: 256 << 10, SegmentBytes: 32 << 10, WhenFull: spool.DropOldest})
	cursors, err := x.origin.cursors("sink.slow")
	if err != nil {
		t.Fatal(err)
	}
	f, _, err := x.landing(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	lost := make(chan uint64, 1000)
	x.books.lose(func(id diode.BatchID) { lost <- id.Seq })
	const all = 60
	for seq := uint64(1); seq <= all; seq++ {
		if seq == 3 {
			gap(t, f, gapOf(1, 3, 3, diode.ReasonLink))
			continue
		}
		b := batchOf(1, seq)
		b.Data, b.Time = make([]byte, 8<<10), time.Unix(1000+int64(seq), 0)
		deliver(t, f, b)
		if seq == 5 {
			cursors[0].Ack(5)
		}
	}
	first, _, _ := x.origin.logs[0].Bounds()
	if first < 10 {
		t.Fatalf("nothing was given up: first is %d", first)
	}
	for seq := uint64(6); seq < first; seq++ { // entries and batches have the same numbers here
		if got := <-lost; got != seq {
			t.Fatalf("batch %d was given up, want %d", got, seq)
		}
	}
	sum := x.books.totals()[0]
	if sum.Declared.Batches != 1+first-6 || sum.Open.Records != 10*(1+first-6) || len(lost) > 0 {
		t.Fatalf("%+v, first kept %d", sum, first)
	}
	row := x.books.ledger.List(ledger.Query{OpenOnly: true, Limit: 1})[0]
	if row.Gap.Reason != diode.ReasonFarFull || !row.Gap.Before.Near.Equal(time.Unix(1000+int64(row.Gap.First), 0)) {
		t.Fatalf("%+v", row.Gap)
	}
	// It comes again, late, and is no longer missing.
	b := batchOf(1, 6)
	b.Late, b.Resent = true, true
	deliver(t, f, b)
	if got := x.books.totals()[0].Filled; got.Batches != 1 || got.Records != 10 {
		t.Fatalf("filled %+v", got)
	}
}

// A ledger that has not read an entry keeps it: the spool would rather be full.
func TestNothingIsGivenUpThatTheLedgerHasNotRead(t *testing.T) {
	x := testGroup(t, t.TempDir(), spool.Options{})
	f, _, err := x.landing(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, f, batchOf(1, 1))
	x.books.mu.Lock()
	x.books.classes[0].following = false
	x.books.mu.Unlock()
	deliver(t, f, batchOf(1, 2))
	head, err := x.origin.logs[0].ReadHead(2, headBytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := x.books.evict(0, head); !errors.Is(err, errBehind) {
		t.Fatalf("%v", err)
	}
	if err := x.books.keep(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := x.books.evict(0, head); err != nil {
		t.Fatal(err)
	}
}

func TestWhatTheNearSideDoesNotKeepIsFinal(t *testing.T) {
	for _, c := range []struct {
		name  string
		heard frame.Series
		final uint64
	}{
		{"nothing heard", frame.Series{}, 0},
		{"all is kept", frame.Series{First: 1, Epoch: diode.Epoch{ID: [16]byte{1}, Start: 1}}, 0},
		{"some is gone", frame.Series{First: 4, Epoch: diode.Epoch{ID: [16]byte{1}, Start: 1}}, 2},
		{"an epoch before, all kept", frame.Series{First: 1, Epoch: diode.Epoch{ID: [16]byte{2}, Prev: [16]byte{1}, Start: 9}}, 0},
		{"an epoch before, some gone", frame.Series{First: 4, Epoch: diode.Epoch{ID: [16]byte{2}, Prev: [16]byte{1}, Start: 9}}, 2},
		{"an epoch before, all gone", frame.Series{First: 9, Epoch: diode.Epoch{ID: [16]byte{2}, Prev: [16]byte{1}, Start: 9}}, 4},
		{"an older epoch is not known", frame.Series{First: 4, Epoch: diode.Epoch{ID: [16]byte{3}, Prev: [16]byte{2}, Start: 9}}, 0},
		{"an empty spare", frame.Series{First: 1, Epoch: diode.Epoch{ID: [16]byte{3}, Start: 1}}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			x := testGroup(t, t.TempDir(), spool.Options{})
			f, _, err := x.landing(soon(t))
			if err != nil {
				t.Fatal(err)
			}
			deliver(t, f, batchOf(1, 1))
			gap(t, f, gapOf(1, 2, 5, diode.ReasonLink))
			for range 2 {
				x.books.hear("d", frame.Heartbeat{Series: []frame.Series{c.heard}})
				if err := x.books.keep(soon(t)); err != nil {
					t.Fatal(err)
				}
			}
			sum := x.books.totals()[0]
			if sum.Final.Batches != c.final || sum.Open.Batches != 4-c.final || sum.Declared.Batches != 4 {
				t.Fatalf("%+v", sum)
			}
			g := Gateway{links: []*link{x.ends[0].link}}
			list, err := g.Gaps(soon(t), console.GapsQuery{Link: "d", All: true})
			if err != nil || (c.final == 4) != (list.Ranges[0].State == console.GapFinal) {
				t.Fatalf("%+v %v", list, err)
			}
		})
	}
}

// What is declared while the near side says the same as before is compared with that, too: also when as much is open as
// the last time.
func TestWhatIsDeclaredAfterAHeartbeatBecomesFinalToo(t *testing.T) {
	x := testGroup(t, t.TempDir(), spool.Options{})
	f, _, err := x.landing(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, f, batchOf(1, 1))
	x.books.hear("d", frame.Heartbeat{Series: []frame.Series{{First: 10, Epoch: diode.Epoch{ID: [16]byte{1}, Start: 1}}}})
	for seq := uint64(2); seq < 8; seq++ {
		gap(t, f, gapOf(1, seq, seq, diode.ReasonLink))
		if err := x.books.keep(soon(t)); err != nil {
			t.Fatal(err)
		}
		if sum := x.books.totals()[0]; sum.Final.Batches != seq-1 || sum.Open.Batches != 0 {
			t.Fatalf("after %d: %+v", seq, sum)
		}
	}
}

// Whatever was delivered is in the spool, was had by the sink, or is missing by the ledger, while all three go on.
func TestNothingVanishesWhileTheFarSpoolIsFull(t *testing.T) {
	x := testGroup(t, t.TempDir(), spool.Options{MaxBytes: 128 << 10, SegmentBytes: 16 << 10, WhenFull: spool.DropOldest})
	cursors, err := x.origin.cursors("sink.slow")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	kept := start(func() error { x.books.run(ctx); return nil })
	f, _, err := x.landing(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	const all = 2000
	for seq := uint64(1); seq <= all; seq++ {
		b := batchOf(1, seq)
		b.Data = make([]byte, 1<<10)
		deliver(t, f, b)
		if seq%300 == 0 {
			cursors[0].Ack(seq - 50)
		}
	}
	cancel()
	if err := kept.wait(); err != nil {
		t.Error(err)
	}
	missing := map[uint64]bool{}
	for _, g := range x.books.ledger.Missing() {
		for seq := g.First; seq <= g.Last; seq++ {
			missing[seq] = true
		}
	}
	first, _, _ := x.origin.logs[0].Bounds()
	for seq := uint64(1); seq < first; seq++ {
		had := seq%300 <= 250 && seq/300 < all/300 // at some acknowledgement; it may have been given up before
		if !missing[seq] && !had {
			t.Fatalf("batch %d of %d is nowhere", seq, first)
		}
	}
	if len(missing) == 0 || uint64(len(missing)) >= first {
		t.Fatalf("%d missing of %d", len(missing), first)
	}
}

// After an error of the ledger nothing is told out of turn: what it missed is read first.
func TestWhatTheLedgerDidNotTakeIsReadFromTheSpool(t *testing.T) {
	x := testGroup(t, t.TempDir(), spool.Options{})
	f, _, err := x.landing(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	deliver(t, f, batchOf(1, 1))
	f.books = nil // the ledger does not hear of this one …
	gap(t, f, gapOf(1, 2, 2, diode.ReasonLink))
	x.books.entry(diode.Bulk, 2, func(ledger.Mark) error { return errors.New("no room") }) // … and says why
	f.books = x.books
	gap(t, f, gapOf(1, 3, 3, diode.ReasonLink))
	if err := x.books.keep(soon(t)); err != nil {
		t.Fatal(err)
	}
	if got := x.books.totals()[0].Open; got.Batches != 2 || got.Records != 20 {
		t.Fatalf("open %+v, want both gaps", got)
	}
}
