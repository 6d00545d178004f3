package ledger_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/ledger"
)

func open(t *testing.T, dir string, o ledger.Options) *ledger.Ledger {
	t.Helper()
	l, err := ledger.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func reopen(t *testing.T, dir string, l *ledger.Ledger, o ledger.Options) *ledger.Ledger {
	t.Helper()
	must(t, l.Close())
	return open(t, dir, o)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func epoch(n byte) [16]byte { return [16]byte{n} }

func clock(n int64) time.Time { return time.Unix(1_800_000_000, n) }

// gap is a range with a weight of 10 per batch.
func gap(first, last uint64) diode.Gap {
	return diode.Gap{
		Epoch: epoch(1), First: first, Last: last, Weight: 10 * (last - first + 1), WeightKnown: true, Reason: diode.ReasonLink,
		DeclaredAt: clock(1), Before: diode.Neighbour{Near: clock(2), Far: clock(3)}, After: diode.Neighbour{Near: clock(4), Far: clock(5)},
	}
}

func filled(seq uint64, weight uint32, how ledger.How) ledger.Filled {
	return ledger.Filled{BatchID: diode.BatchID{Epoch: epoch(1), Seq: seq}, Weight: weight, How: how, At: clock(6)}
}

func at(seq uint64) ledger.Mark { return ledger.Mark{Spool: epoch(9), Seq: seq} }

// text writes the declarations, the oldest first.
func text(l *ledger.Ledger) string {
	var lines []string
	for _, e := range l.List(ledger.Query{}) {
		line := fmt.Sprintf("%d-%d/%d", e.Gap.First, e.Gap.Last, e.Gap.Weight)
		for _, r := range e.Ranges {
			line += fmt.Sprintf(" open %d-%d", r.First, r.Last)
		}
		for _, a := range []struct {
			name string
			ledger.Amount
		}{{"open", e.Open}, {"repeat", e.Repeat}, {"resend", e.Resend}, {e.Why, e.Final}} {
			if a.Amount != (ledger.Amount{}) {
				line += fmt.Sprintf(" %s=%d/%d?%d", a.name, a.Batches, a.Weight, a.Unweighed)
			}
		}
		lines = append(lines, line)
	}
	slices.Reverse(lines)
	return strings.Join(lines, "; ")
}

func expect(t *testing.T, l *ledger.Ledger, want string) {
	t.Helper()
	if got := text(l); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestLifeOfARange(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	must(t, l.Declare(gap(1, 5), at(1)))
	expect(t, l, "1-5/50 open 1-5 open=5/50?0")
	fill := func(seq uint64, weight uint32, how ledger.How, mark uint64, want bool) {
		t.Helper()
		was, err := l.Fill(filled(seq, weight, how), at(mark))
		if err != nil || was != want {
			t.Errorf("batch %d: was open %t, %v", seq, was, err)
		}
	}
	fill(3, 12, ledger.Repeat, 2, true)
	fill(3, 12, ledger.Repeat, 3, false)
	fill(9, 12, ledger.Repeat, 4, false)
	expect(t, l, "1-5/50 open 1-2 open 4-5 open=4/38?0 repeat=1/12?0")
	sum, err := l.Finish(ledger.Final{Epoch: epoch(1), Below: 2, Why: ledger.WhyNotRetained, At: clock(7)})
	if err != nil || sum != (ledger.Amount{Batches: 1}) {
		t.Errorf("%+v %v", sum, err)
	}
	expect(t, l, "1-5/50 open 2-2 open 4-5 open=3/38?0 repeat=1/12?0 not-retained=1/0?0")
	fill(2, 5, ledger.Resend, 5, true)
	fill(4, 6, ledger.Resend, 6, true)
	l = reopen(t, dir, l, ledger.Options{})
	fill(5, 7, ledger.Resend, 7, true)
	const end = "1-5/50 repeat=1/12?0 resend=3/18?0 not-retained=1/20?0"
	expect(t, l, end)
	l = reopen(t, dir, l, ledger.Options{})
	expect(t, l, end)
	e := l.List(ledger.Query{})[0]
	if want := gap(1, 5); !reflect.DeepEqual(e.Gap, want) || !e.Changed.Equal(clock(6)) {
		t.Errorf("got  %+v\nwant %+v", e.Gap, want)
	}
	rows := l.Totals()
	if len(rows) != 1 || rows[0].Declared != (ledger.Amount{Batches: 5, Weight: 50}) || rows[0].Open != (ledger.Amount{}) {
		t.Errorf("%+v", rows)
	}
}

func TestOnlyWhatIsNewIsAdded(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	must(t, l.Declare(gap(5, 7), at(1)))
	must(t, l.Declare(gap(5, 7), at(2)))
	must(t, l.Declare(gap(6, 6), at(3)))
	expect(t, l, "5-7/30 open 5-7 open=3/30?0")
	must(t, l.Declare(gap(1, 10), at(4)))
	expect(t, l, "5-7/30 open 5-7 open=3/30?0; 1-4/0 open 1-4 open=4/0?4; 8-10/0 open 8-10 open=3/0?3")
	if _, err := l.Fill(filled(2, 9, ledger.Repeat), at(5)); err != nil {
		t.Fatal(err)
	}
	expect(t, l, "5-7/30 open 5-7 open=3/30?0; 1-4/9 open 1-1 open 3-4 open=3/0?3 repeat=1/9?0; 8-10/0 open 8-10 open=3/0?3")
}

func TestOneLossGoingOnIsOneDeclaration(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	for seq := uint64(1); seq <= 1000; seq++ {
		must(t, l.Declare(gap(seq, seq), at(seq)))
	}
	other := gap(1001, 1001)
	other.Reason = diode.ReasonOverload
	must(t, l.Declare(other, at(2000)))
	expect(t, l, "1-1000/10000 open 1-1000 open=1000/10000?0; 1001-1001/10 open 1001-1001 open=1/10?0")
}

func TestMarks(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	must(t, l.Declare(gap(1, 3), at(10)))
	if m := l.Marks(); len(m) != 0 {
		t.Errorf("a mark that is not on disk: %v", m)
	}
	must(t, l.Sync())
	if m := l.Marks(); len(m) != 1 || m[0] != at(10) {
		t.Errorf("%v", m)
	}
	must(t, l.Declare(gap(7, 8), at(10))) // read again: known
	must(t, l.Declare(gap(7, 8), at(3)))
	if was, err := l.Fill(filled(2, 10, ledger.Repeat), at(9)); was || err != nil {
		t.Errorf("%t %v", was, err)
	}
	expect(t, l, "1-3/30 open 1-3 open=3/30?0")
	must(t, l.Advance(at(20)))
	must(t, l.Advance(at(15)))
	l = reopen(t, dir, l, ledger.Options{})
	if m := l.Marks(); len(m) != 1 || m[0] != at(20) {
		t.Errorf("%v", m)
	}
}

// TestAnotherSpool reads a far spool that was made anew: its sequences are low
// again, and what is listed as declared stays what it is.
func TestAnotherSpool(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	must(t, l.Declare(gap(1, 3), at(100)))
	for seq := uint64(1); seq <= 3; seq++ {
		if was, err := l.Fill(filled(seq, 10, ledger.Resend), at(100+seq)); !was || err != nil {
			t.Fatal(was, err)
		}
	}
	other := ledger.Mark{Spool: epoch(8), Seq: 1}
	must(t, l.Declare(gap(2, 5), other))
	expect(t, l, "1-3/30 resend=3/30?0; 4-5/0 open 4-5 open=2/0?2")
	must(t, l.Declare(gap(1, 4), ledger.Mark{}))
	expect(t, l, "1-3/30 resend=3/30?0; 4-5/0 open 4-5 open=2/0?2")
	// With a mark behind the last of the same spool it is certainly new.
	other.Seq = 2
	must(t, l.Declare(gap(2, 2), other))
	expect(t, l, "1-3/30 resend=3/30?0; 4-5/0 open 4-5 open=2/0?2; 2-2/10 open 2-2 open=1/10?0")
}

func TestEvictedIsMissingAgain(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	must(t, l.Declare(gap(1, 1), at(10)))
	if _, err := l.Fill(filled(1, 10, ledger.Resend), at(11)); err != nil {
		t.Fatal(err)
	}
	g := gap(1, 1)
	g.Reason = diode.ReasonFarFull
	must(t, l.Evict(g, at(11)))
	want := "1-1/10 resend=1/10?0; 1-1/10 open 1-1 open=1/10?0"
	expect(t, l, want)
	// What Evict returned for is on disk, and with it all that came before.
	other := open(t, copyOf(t, dir), ledger.Options{})
	expect(t, other, want)
	if _, err := l.Fill(filled(1, 10, ledger.Resend), at(12)); err != nil {
		t.Fatal(err)
	}
	must(t, l.Evict(g, at(11))) // repeated by a spool that was interrupted
	expect(t, l, "1-1/10 resend=1/10?0; 1-1/10 resend=1/10?0")
}

// TestEvictedBeforeItWasRead has a far spool run ahead of who reads it for the
// ledger: what it has given up by then is not filled.
func TestEvictedBeforeItWasRead(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	g := gap(2, 2)
	g.Reason = diode.ReasonFarFull
	must(t, l.Evict(g, at(11)))
	must(t, l.Declare(gap(1, 3), at(10)))
	if was, err := l.Fill(filled(2, 10, 0), at(11)); was || err != nil {
		t.Errorf("%t %v", was, err)
	}
	if was, err := l.Fill(filled(3, 10, 0), at(12)); !was || err != nil {
		t.Errorf("%t %v", was, err)
	}
	expect(t, l, "2-2/10 open 2-2 open=1/10?0; 1-1/0 open 1-1 open=1/0?1; 3-3/10 repeat=1/10?0")
}

// copyOf copies the files of a ledger as they are at this moment.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

func TestTail(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	must(t, l.Declare(diode.Gap{Epoch: epoch(1), First: 50, Reason: diode.ReasonEpochEnd, Weight: 7, WeightKnown: true}, at(1)))
	expect(t, l, "50-0/0 open 50-0")
	if was, err := l.Fill(filled(53, 4, ledger.Repeat), at(2)); !was || err != nil {
		t.Fatal(was, err)
	}
	expect(t, l, "50-0/4 open 50-52 open 54-0 open=3/0?3 repeat=1/4?0")
	if sum, err := l.Finish(ledger.Final{Epoch: epoch(1), Below: 56, Why: "x"}); err != nil || sum.Batches != 5 {
		t.Errorf("%+v %v", sum, err)
	}
	expect(t, l, "50-0/4 open 56-0 repeat=1/4?0 x=5/0?5")
	if r := l.Totals()[0]; r.OpenTails != 1 || r.DeclaredTails != 1 || r.Declared.Batches != 6 {
		t.Errorf("%+v", r)
	}
	if _, err := l.Finish(ledger.Final{Epoch: epoch(1), Below: ledger.All, Why: "x"}); err != nil {
		t.Fatal(err)
	}
	l = reopen(t, dir, l, ledger.Options{})
	expect(t, l, "50-0/4 repeat=1/4?0 x=5/0?5")
	if r := l.Totals()[0]; r.OpenTails != 0 || r.FinalTails != 1 || len(l.Missing()) != 0 {
		t.Errorf("%+v", r)
	}
}

// TestAcceptedRange gives up a range in the middle, as an operator does.
func TestAcceptedRange(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	must(t, l.Declare(gap(10, 20), at(1)))
	must(t, l.Declare(diode.Gap{Epoch: epoch(1), First: 50, Reason: diode.ReasonEpochEnd}, at(2)))
	for _, f := range []ledger.Final{{From: 12, Below: 14}, {From: 1, Below: 10}, {From: 21, Below: 50}, {From: 14, Below: 14}, {From: 52, Below: 54}} {
		f.Epoch, f.Why = epoch(1), ledger.WhyAccepted
		if _, err := l.Finish(f); err != nil {
			t.Fatal(err)
		}
	}
	const want = "10-20/110 open 10-11 open 14-20 open=9/110?0 accepted=2/0?0; 50-0/0 open 50-51 open 54-0 open=2/0?2 accepted=2/0?2"
	expect(t, l, want)
	l = reopen(t, dir, l, ledger.Options{})
	expect(t, l, want)
}

func TestSumsDecideAboutWeights(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	must(t, l.Declare(gap(1, 2), at(1)))
	must(t, l.Declare(gap(5, 6), at(2)))
	for i, f := range []ledger.Filled{filled(1, 15, 0), filled(2, 9, 0), filled(5, 1, 0), filled(6, 1, 0)} {
		if _, err := l.Fill(f, at(uint64(3+i))); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, l, "1-2/20 repeat=2/20?0; 5-6/20 repeat=2/20?0")
}

func TestMissing(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	must(t, l.Declare(gap(20, 25), at(1)))
	must(t, l.Declare(gap(1, 3), at(2)))
	if _, err := l.Fill(filled(20, 5, 0), at(3)); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Fill(filled(2, 5, 0), at(4)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, g := range l.Missing() {
		got = append(got, fmt.Sprintf("%d-%d/%d %t", g.First, g.Last, g.Weight, g.WeightKnown))
	}
	if s := strings.Join(got, "|"); s != "21-25/55 true|1-1/0 false|3-3/0 false" {
		t.Error(s)
	}
}

func TestList(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	for i := range uint64(4) {
		g := gap(1+10*i, 1+10*i)
		g.Class = diode.Class(i % 2)
		m := at(i + 1)
		m.Class = g.Class
		must(t, l.Declare(g, m))
	}
	if _, err := l.Fill(filled(21, 1, 0), at(9)); err != nil {
		t.Fatal(err)
	}
	for want, q := range map[string]ledger.Query{
		"31 21 11 1": {}, "31 11 1": {OpenOnly: true}, "31 21": {Limit: 2}, "31 11": {Classes: []diode.Class{1}},
		"1": {OpenOnly: true, Classes: []diode.Class{0}, Limit: 1},
	} {
		var got []string
		for _, e := range l.List(q) {
			got = append(got, fmt.Sprint(e.Gap.First))
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%+v: %s, expected %s", q, s, want)
		}
	}
}

func TestTooManyRanges(t *testing.T) {
	o := ledger.Options{MaxRanges: 3}
	dir := t.TempDir()
	l := open(t, dir, o)
	must(t, l.Declare(gap(1, 9), at(1)))
	must(t, l.Declare(gap(20, 20), at(2)))
	for i, seq := range []uint64{3, 6} {
		if _, err := l.Fill(filled(seq, 10, 0), at(uint64(3+i))); err != nil {
			t.Fatal(err)
		}
	}
	const want = "1-9/90 open 4-5 open 7-9 open=5/70?0 repeat=2/20?0 ledger-full=2/0?0; 20-20/10 open 20-20 open=1/10?0"
	expect(t, l, want)
	l = reopen(t, dir, l, ledger.Options{})
	expect(t, l, want)
	if s := l.State(); s.OpenRanges != 3 || s.Listed != 2 {
		t.Errorf("%+v", s)
	}
}

func TestImpossibleRanges(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	for _, g := range []diode.Gap{gap(0, 1), gap(5, 4), gap(1, 1<<64-1), gap(1<<64-1, 0), {}} {
		if err := l.Declare(g, at(1)); !errors.Is(err, ledger.ErrRange) {
			t.Errorf("%d-%d: %v", g.First, g.Last, err)
		}
		if err := l.Evict(g, at(1)); !errors.Is(err, ledger.ErrRange) {
			t.Errorf("%d-%d: %v", g.First, g.Last, err)
		}
	}
	if _, err := l.Fill(filled(0, 1, 0), at(1)); !errors.Is(err, ledger.ErrRange) {
		t.Error(err)
	}
	if err := l.Declare(gap(1, 1), ledger.Mark{Class: 1, Seq: 1}); !errors.Is(err, ledger.ErrRange) {
		t.Errorf("mark of another class: %v", err)
	}
	if s, err := l.Finish(ledger.Final{Below: 1}); err != nil || s.Batches != 0 {
		t.Error(s, err)
	}
	if text(l) != "" || len(l.Totals()) != 0 {
		t.Error("something was noted")
	}
	must(t, l.Declare(diode.Gap{First: 1, Last: 1, Reason: strings.Repeat("x", 300)}, at(1)))
	if r := l.Totals()[0].Reason; len(r) != 32 {
		t.Errorf("a reason of %d bytes", len(r))
	}
}

func TestClosed(t *testing.T) {
	l := open(t, t.TempDir(), ledger.Options{})
	must(t, l.Close())
	must(t, l.Close())
	_, ferr := l.Fill(filled(1, 1, 0), at(1))
	for _, err := range []error{l.Declare(gap(1, 1), at(1)), ferr, l.Sync(), l.Advance(at(1)), l.Evict(gap(1, 1), at(1))} {
		if !errors.Is(err, ledger.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []ledger.Options{{MaxRanges: -1}, {MaxRanges: 65537}, {MaxBytes: 1 << 20}, {KeepClosed: -1}} {
		if _, err := ledger.Open(t.TempDir(), o); err == nil {
			t.Errorf("%+v taken", o)
		}
	}
	if _, err := ledger.Open("", ledger.Options{}); err == nil {
		t.Error("no directory taken")
	}
}

// TestFullDisk refuses to write until the owner has made room.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	var full bool
	o := ledger.Options{Write: func(f func() error) error {
		if full {
			return syscall.ENOSPC
		}
		return f()
	}}
	l := open(t, dir, o)
	full = true
	must(t, l.Declare(gap(1, 2), at(1))) // can be read from the far spool again
	if err := l.Declare(gap(5, 5), ledger.Mark{}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if err := l.Evict(gap(7, 7), at(1)); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("%v", err)
	}
	if s := l.State(); s.Err == nil || s.Waiting == 0 || len(l.Marks()) != 0 {
		t.Errorf("%+v", s)
	}
	err := fillBacklog(l)
	if !errors.Is(err, ledger.ErrBacklog) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("%v", err)
	}
	before, waiting := text(l), l.State().Waiting
	if err := l.Declare(gap(1e9, 1e9), at(1e9)); !errors.Is(err, ledger.ErrBacklog) || text(l) != before || l.State().Waiting != waiting {
		t.Errorf("refused, but changed something: %v", err)
	}
	full = false
	must(t, l.Evict(gap(7, 7), at(1)))
	if s := l.State(); s.Err != nil || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
	l = reopen(t, dir, l, o)
	if text(l) != before {
		t.Error("not what was in memory")
	}
}

// fillBacklog declares until the ledger refuses.
func fillBacklog(l *ledger.Ledger) error {
	for i := uint64(1); i < 1e6; i++ {
		if err := l.Declare(gap(2*i+100, 2*i+100), at(i+1)); err != nil {
			return err
		}
	}
	return nil
}

// TestLogStaysBounded writes many times what the log may hold.
func TestLogStaysBounded(t *testing.T) {
	o := ledger.Options{MaxRanges: 100, KeepClosed: 10, MaxBytes: 5 << 20}
	dir := t.TempDir()
	l := open(t, dir, o)
	mark := uint64(0)
	most := int64(0)
	for i := range uint64(60_000) {
		seq := 1 + 3*i
		mark++
		must(t, l.Declare(gap(seq, seq+1), at(mark)))
		mark++
		if _, err := l.Fill(filled(seq, 4, ledger.Resend), at(mark)); err != nil {
			t.Fatal(err)
		}
		if i%1000 == 0 {
			st, err := os.Stat(filepath.Join(dir, "gaps.ledger"))
			must(t, err)
			most = max(most, st.Size())
		}
	}
	if most < 1<<19 || most > 1<<20 {
		t.Errorf("the log grew to %d bytes", most)
	}
	want := l.Totals()
	l = reopen(t, dir, l, o)
	if got := l.Totals(); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	r := want[0]
	if r.Declared != (ledger.Amount{Batches: 120_000, Weight: 1_200_000}) || r.Resend.Batches != 60_000 || r.Open.Batches != 100 || r.Final.Batches != 59_900 {
		t.Errorf("%+v", r)
	}
	if s := l.State(); s.Listed > 100+10+256 {
		t.Errorf("%+v", s)
	}
}

// TestAtOnce uses all methods from several goroutines.
func TestAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, ledger.Options{})
	var wg sync.WaitGroup
	for c := range diode.Class(3) {
		wg.Go(func() {
			for i := uint64(1); i <= 300; i++ {
				g := gap(2*i, 2*i)
				g.Class = c
				m := ledger.Mark{Class: c, Spool: epoch(9), Seq: 2 * i}
				if err := l.Declare(g, m); err != nil {
					t.Error(err)
				}
				f := filled(2*i, 10, ledger.Repeat)
				f.Class, m.Seq = c, m.Seq+1
				if was, err := l.Fill(f, m); !was || err != nil {
					t.Error(was, err)
				}
				if i%100 == 0 {
					m.Seq = i
					if err := l.Evict(g, m); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			if err := l.Sync(); err != nil {
				t.Error(err)
			}
			l.Totals()
			l.Missing()
			l.Marks()
			l.List(ledger.Query{Limit: 3})
			l.State()
		}
	})
	wg.Wait()
	l = reopen(t, dir, l, ledger.Options{})
	if n := len(l.Missing()); n != 9 {
		t.Errorf("%d ranges are open, expected 9", n)
	}
}
