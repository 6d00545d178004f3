package ledger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
)

// most is the largest sequence of the model.
const most = 40

// fate is what the model knows of one batch.
type fate struct {
	open   bool
	reason string // of the declaration it is open under
	known  bool   // its declaration has a weight
}

type place struct {
	epoch byte
	class diode.Class
}

// model does naively, batch by batch, what a ledger does with ranges.
type model struct {
	fates map[place]*[most + 2]fate
	tails map[place]uint64 // open tail from here; 0 = none
	why   map[place]string // reason of the tail
	rows  map[rowKey]*Row
	ops   []func(l *Ledger) error // what stands in the far spool
}

func newModel() *model {
	return &model{fates: map[place]*[most + 2]fate{}, tails: map[place]uint64{}, why: map[place]string{}, rows: map[rowKey]*Row{}}
}

// weightOf is the true weight of a batch.
func weightOf(p place, seq uint64) uint64 { return 1 + (seq*7+uint64(p.epoch)*3+uint64(p.class))%11 }

func (m *model) at(p place) *[most + 2]fate {
	if m.fates[p] == nil {
		m.fates[p] = &[most + 2]fate{}
	}
	return m.fates[p]
}

func (m *model) row(c diode.Class, reason string) *Row {
	k := rowKey{c, reason}
	if m.rows[k] == nil {
		m.rows[k] = &Row{Class: c, Reason: reason}
	}
	return m.rows[k]
}

// isOpen says whether a batch is missing, also as part of a tail.
func (m *model) isOpen(p place, seq uint64) bool {
	return m.at(p)[seq].open || (m.tails[p] != 0 && seq >= m.tails[p])
}

func (m *model) open(p place, seq uint64, reason string, known bool) {
	m.at(p)[seq] = fate{open: true, reason: reason, known: known}
	r := m.row(p.class, reason)
	r.Declared.Batches++
	if known {
		r.Declared.Weight += weightOf(p, seq)
		return
	}
	r.Declared.Unweighed++
}

func (m *model) declare(p place, g diode.Gap) {
	whole := g.Last != 0
	for seq := g.First; seq <= g.Last; seq++ {
		whole = whole && !m.isOpen(p, seq)
	}
	end := g.Last
	if g.Last == 0 {
		end = m.tailFrom(p, g.First) - 1
	}
	for seq := g.First; seq <= end; seq++ {
		if !m.isOpen(p, seq) {
			m.open(p, seq, g.Reason, g.WeightKnown && whole)
		}
	}
	if g.Last == 0 && m.tails[p] == 0 {
		m.tails[p], m.why[p] = end+1, g.Reason
		m.row(p.class, g.Reason).DeclaredTails++
	}
}

// tailFrom is where a tail begins that is declared from first on: behind all
// that is open.
func (m *model) tailFrom(p place, first uint64) uint64 {
	from := first
	for seq := first; seq <= most; seq++ {
		if m.at(p)[seq].open {
			from = seq + 1
		}
	}
	if m.tails[p] != 0 {
		from = max(first, m.tails[p])
	}
	return from
}

// exists makes the batches of a tail below seq known.
func (m *model) exists(p place, seq uint64) {
	for t := m.tails[p]; t != 0 && t < seq; t++ {
		m.open(p, t, m.why[p], false)
		m.tails[p] = t + 1
	}
}

func (m *model) fill(p place, seq uint64, how How) bool {
	if !m.isOpen(p, seq) {
		return false
	}
	m.exists(p, seq+1)
	f := &m.at(p)[seq]
	r := m.row(p.class, f.reason)
	a := Amount{Batches: 1, Weight: weightOf(p, seq)}
	if how == Resend {
		r.Resend.add(a)
	} else {
		r.Repeat.add(a)
	}
	if !f.known {
		r.Declared.Unweighed--
		r.Declared.Weight += a.Weight
	}
	f.open = false
	return true
}

func (m *model) finish(p place, below uint64) {
	if below != All {
		m.exists(p, below)
	}
	for seq := uint64(1); seq <= most && seq < below; seq++ {
		f := &m.at(p)[seq]
		if !f.open {
			continue
		}
		f.open = false
		r := m.row(p.class, f.reason)
		r.Final.Batches++
		if !f.known {
			r.Final.Unweighed++
		}
	}
	if below == All && m.tails[p] != 0 {
		m.row(p.class, m.why[p]).FinalTails++
		delete(m.tails, p)
	}
}

// check compares a ledger with the model.
func (m *model) check(t *rapid.T, l *Ledger) {
	type key struct {
		p   place
		seq uint64
	}
	want, got := map[key]string{}, map[key]string{}
	for p, f := range m.fates {
		for seq := range f {
			if f[seq].open {
				want[key{p, uint64(seq)}] = f[seq].reason
			}
		}
	}
	for p, from := range m.tails {
		want[key{p, from + 1<<32}] = m.why[p]
	}
	for _, g := range l.Missing() {
		p := place{g.Epoch[0], g.Class}
		if g.Last == 0 {
			got[key{p, g.First + 1<<32}] = g.Reason
			continue
		}
		sum := uint64(0)
		for seq := g.First; seq <= g.Last; seq++ {
			got[key{p, seq}] = g.Reason
			sum += weightOf(p, seq)
		}
		if g.WeightKnown && g.Weight != sum {
			t.Fatalf("%d-%d weighs %d, the ledger says %d", g.First, g.Last, sum, g.Weight)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("open: got %v\nwant %v", got, want)
	}
	m.checkTotals(t, l)
}

func (m *model) checkTotals(t *rapid.T, l *Ledger) {
	rows := l.Totals()
	if len(rows) != len(m.rows) {
		t.Fatalf("%d rows, expected %d", len(rows), len(m.rows))
	}
	for _, r := range rows {
		sum := r.Repeat
		sum.add(r.Resend)
		sum.add(r.Final)
		sum.add(r.Open)
		if sum != r.Declared || r.DeclaredTails != r.FinalTails+r.OpenTails {
			t.Fatalf("does not add up: %+v", r)
		}
		w := m.rows[rowKey{r.Class, r.Reason}]
		if w == nil || r.Declared != w.Declared || r.Repeat != w.Repeat || r.Resend != w.Resend || r.DeclaredTails != w.DeclaredTails ||
			r.Final.Batches != w.Final.Batches || r.Final.Unweighed != w.Final.Unweighed || r.FinalTails != w.FinalTails {
			t.Fatalf("got  %+v\nwant %+v", r, w)
		}
		if r.OpenRanges == 0 && r.Final.Weight != w.Declared.Weight-w.Repeat.Weight-w.Resend.Weight {
			t.Fatalf("nothing is open, but the weight of what is final is not known: %+v", r)
		}
	}
}

// world is a ledger, its disk, and the model.
type world struct {
	t    *rapid.T
	m    *model
	d    *memDisk
	l    *Ledger
	rng  *rand.Rand
	next map[diode.Class]uint64 // far spool
	gone map[diode.Class]uint64 // evictions
	now  int64
}

func options() Options { return Options{MaxRanges: 1000, KeepClosed: 2} }

func (w *world) reopen() {
	l, err := open(w.d, options())
	if err != nil {
		w.t.Fatal(err)
	}
	w.l = l
	if w.rng.IntN(2) == 0 {
		l.file.compact = 200 // compaction at nearly every write
	}
	for _, op := range w.m.ops {
		if err := op(l); err != nil {
			w.t.Fatal(err)
		}
	}
}

// stream has something happen in the far spool: the ledger is told, and can be
// told again after a crash.
func (w *world) stream(op func(l *Ledger) error) {
	w.m.ops = append(w.m.ops, op)
	if err := op(w.l); err != nil {
		w.t.Fatal(err)
	}
}

// surely repeats what must be on disk until the disk takes it.
func (w *world) surely(op func() error) {
	for range 3 {
		err := op()
		if err == nil {
			return
		}
		if !errors.Is(err, errFull) {
			w.t.Fatal(err)
		}
		w.d.fault = nil
	}
	w.t.Fatal("not written on a disk that works again")
}

func (w *world) mark(of map[diode.Class]uint64, c diode.Class) Mark {
	of[c] += uint64(1 + w.rng.IntN(5))
	return Mark{Class: c, Spool: [16]byte{7}, Seq: of[c]}
}

func (w *world) time() time.Time {
	w.now++
	return time.Unix(1_800_000_000, w.now)
}

func (w *world) gap() (place, diode.Gap) {
	t := w.t
	p := place{byte(rapid.IntRange(1, 2).Draw(t, "epoch")), diode.Class(rapid.IntRange(0, 1).Draw(t, "class"))}
	g := diode.Gap{
		Epoch: [16]byte{p.epoch}, Class: p.class, Reason: rapid.SampledFrom([]string{"link", "overload"}).Draw(t, "reason"),
		DeclaredAt: w.time(), WeightKnown: rapid.Bool().Draw(t, "known"), BeforeFirstContact: rapid.IntRange(0, 5).Draw(t, "contact") == 0,
	}
	g.First = rapid.Uint64Range(1, most-2).Draw(t, "first")
	g.Last = min(most-2, g.First+rapid.Uint64Range(0, 8).Draw(t, "length"))
	for seq := g.First; g.WeightKnown && seq <= g.Last; seq++ {
		g.Weight += weightOf(p, seq)
	}
	if rapid.IntRange(0, 7).Draw(t, "tail") == 0 {
		g.Last, g.Weight, g.WeightKnown = 0, 0, false
	}
	return p, g
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"declare": func(*rapid.T) {
			p, g := w.gap()
			m := w.mark(w.next, p.class)
			w.stream(func(l *Ledger) error { return l.Declare(g, m) })
			w.m.declare(p, g)
		},
		"fill": func(t *rapid.T) {
			p, g := w.gap()
			m, how := w.mark(w.next, p.class), How(rapid.IntRange(0, 1).Draw(t, "how"))
			f := Filled{BatchID: diode.BatchID{Epoch: g.Epoch, Class: g.Class, Seq: g.First}, Weight: uint32(weightOf(p, g.First)), How: how, At: g.DeclaredAt}
			var was bool
			w.stream(func(l *Ledger) (err error) { was, err = l.Fill(f, m); return err })
			if want := w.m.fill(p, g.First, how); was != want {
				t.Fatalf("was open: %t, expected %t", was, want)
			}
		},
		"evict": func(*rapid.T) {
			p, g := w.gap()
			m := w.mark(w.gone, p.class)
			m.Spool = [16]byte{8} // its places are below those of the stream
			g.Reason = "far-spool-full"
			w.surely(func() error { return w.l.Evict(g, m) })
			w.m.declare(p, g)
		},
		"finish": func(t *rapid.T) {
			p, g := w.gap()
			below := g.First
			if rapid.IntRange(0, 3).Draw(t, "all") == 0 {
				below = All
			}
			f := Final{Epoch: g.Epoch, Class: g.Class, Below: below, Why: WhyNotRetained, At: g.DeclaredAt}
			w.surely(func() error { _, err := w.l.Finish(f); return err })
			w.m.finish(p, below)
		},
		"sync": func(*rapid.T) { w.surely(w.l.Sync) },
		"full": func(t *rapid.T) {
			after := rapid.IntRange(0, 7).Draw(t, "after")
			w.d.fault = func(op string) error {
				if after--; after >= 0 || op == "remove" || op == "close" {
					return nil
				}
				return errFull
			}
		},
		"crash": func(*rapid.T) {
			w.d = w.d.crash(w.rng)
			w.reopen()
		},
		"kill": func(*rapid.T) { // the process alone: the disk has what was written
			w.d.fault = nil
			w.reopen()
		},
		"close": func(*rapid.T) {
			w.surely(w.l.Sync)
			w.d.fault = nil
			if err := w.l.Close(); err != nil {
				w.t.Fatal(err)
			}
			w.reopen()
		},
		"again": func(*rapid.T) { // everything that the far spool holds
			for _, op := range w.m.ops {
				if err := op(w.l); err != nil {
					w.t.Fatal(err)
				}
			}
		},
		"": func(t *rapid.T) { w.m.check(t, w.l) },
	}
}

// TestModel holds a ledger to the naive one through crashes, torn writes, full
// disks and repeated reading of the far spool.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{
			t: t, m: newModel(), d: newMemDisk(), rng: rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)),
			next: map[diode.Class]uint64{}, gone: map[diode.Class]uint64{},
		}
		w.reopen()
		t.Repeat(w.actions())
	})
}

// TestEveryStep lets the power fail at each operation on the disk in turn, and
// the disk be full for that one operation.
func TestEveryStep(t *testing.T) {
	total := 0
	for n := 0; n <= total; n++ {
		for seed := range uint64(4) {
			total = max(total, failAt(t, n, seed, errDead), failAt(t, n, seed, errFull))
		}
	}
	if total < 30 {
		t.Errorf("only %d steps", total)
	}
}

// script declares, fills, evicts and finishes, with compactions between.
func script(l *Ledger, from int) (done int, err error) {
	gap := func(first, last uint64) diode.Gap {
		return diode.Gap{Epoch: [16]byte{1}, First: first, Last: last, Reason: "link", DeclaredAt: time.Unix(9, 0)}
	}
	at := func(n uint64) Mark { return Mark{Spool: [16]byte{1}, Seq: n} }
	steps := []func() error{
		func() error { return l.Declare(gap(1, 10), at(1)) },
		l.Sync,
		func() error {
			_, err := l.Fill(Filled{BatchID: diode.BatchID{Epoch: [16]byte{1}, Seq: 5}, Weight: 3}, at(2))
			return err
		},
		func() error { return l.Evict(gap(20, 20), at(1)) },
		func() error { return l.Declare(gap(30, 40), at(3)) },
		func() error { l.file.compact = 0; return l.Sync() },
		func() error { return l.Declare(gap(50, 50), Mark{}) },
		func() error {
			_, err := l.Finish(Final{Epoch: [16]byte{1}, Below: 3, Why: WhyNotRetained, At: time.Unix(9, 0)})
			return err
		},
		func() error {
			_, err := l.Fill(Filled{BatchID: diode.BatchID{Epoch: [16]byte{1}, Seq: 50}, Weight: 1}, at(4))
			return err
		},
		func() error { l.file.compact = 0; return l.Sync() },
		l.Close,
	}
	for i := from; i < len(steps); i++ {
		if err := steps[i](); err != nil {
			return i, err
		}
	}
	return len(steps), nil
}

// failAt runs the script with the n-th operation failing and returns how many
// there were.
func failAt(t *testing.T, n int, seed uint64, kind error) int {
	t.Helper()
	d := newMemDisk()
	count, dead := 0, false
	d.fault = func(string) error {
		hit := count == n
		count++
		if dead = dead || (hit && errors.Is(kind, errDead)); dead || hit {
			return kind
		}
		return nil
	}
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	done := 0
	l, err := open(d, options())
	for tries := 0; err != nil || done < 11; tries++ {
		if tries > 5 {
			t.Fatalf("step %d: %v", n, err)
		}
		if err == nil {
			done, err = script(l, done)
		}
		if err == nil {
			break
		}
		switch {
		case errors.Is(kind, errDead) && dead: // a new start, and the far spool read again
			d, dead = d.crash(rng), false
			done = 0
			l, err = open(d, options())
		case l == nil:
			l, err = open(d, options())
		default:
			err = nil // the same step again
		}
	}
	d.fault = nil
	if got, want := outcomeOf(t, d), reference(t); got != want {
		t.Fatalf("operation %d, %v:\ngot  %s\nwant %s", n, kind, got, want)
	}
	return count
}

// reference is what the script gives when nothing fails.
func reference(t *testing.T) string {
	t.Helper()
	d := newMemDisk()
	l, err := open(d, options())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := script(l, 0); err != nil {
		t.Fatal(err)
	}
	return outcomeOf(t, d)
}

func outcomeOf(t *testing.T, d *memDisk) string {
	t.Helper()
	l, err := open(d, options())
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(l.Missing(), l.Totals(), l.Marks())
}

// TestNameAfterRestart has a compaction end in an error of the last step, the
// process die, another one go on, and then the power fail.
func TestNameAfterRestart(t *testing.T) {
	d := newMemDisk()
	l, err := open(d, options())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Declare(diode.Gap{First: 1, Last: 1}, Mark{}); err != nil {
		t.Fatal(err)
	}
	l.file.compact = 0
	d.fault = func(op string) error {
		if op == "syncDir" {
			return errFull
		}
		return nil
	}
	if err := l.Declare(diode.Gap{First: 5, Last: 5}, Mark{}); !errors.Is(err, errFull) || l.State().Waiting != 0 {
		t.Fatalf("%v, %d bytes wait", err, l.State().Waiting)
	}
	if l, err = open(d, options()); err != nil {
		t.Fatal(err)
	}
	if err := l.Declare(diode.Gap{First: 9, Last: 9}, Mark{}); !errors.Is(err, errFull) {
		t.Fatalf("on disk under a name that may be gone: %v", err)
	}
	d.fault = nil
	if err := l.Declare(diode.Gap{First: 9, Last: 9}, Mark{}); err != nil {
		t.Fatal(err)
	}
	for seed := range uint64(20) {
		after, err := open(d.crash(rand.New(rand.NewPCG(seed, 0))), options())
		if err != nil {
			t.Fatal(err)
		}
		if n := len(after.Missing()); n != 3 {
			t.Fatalf("%d ranges after the power failed", n)
		}
	}
}

// TestFinalBehindTheFirstOfATail ends a tail somewhere in it: what is before that
// exists and stays open.
func TestFinalBehindTheFirstOfATail(t *testing.T) {
	s := newState(10)
	g := diode.Gap{First: 50, Reason: "link"}
	s.declare(g)
	g.First = 60
	s.finish(g)
	r := s.totals()[0]
	if want := (Amount{Batches: 10, Unweighed: 10}); r.Open != want || r.Declared != want || r.FinalTails != 1 || r.OpenTails != 0 {
		t.Errorf("%+v", r)
	}
}

func TestReadingTwiceNeedsNoOrderOfMaps(t *testing.T) {
	s := newState(10)
	for c := range diode.Class(4) {
		g := diode.Gap{Class: c, First: 1, Last: 9, Reason: "link"}
		s.add(g)
		s.stream[c] = Mark{Class: c, Seq: 1}
	}
	if keys := len(s.series); keys != 4 || !slices.IsSortedFunc(s.sortedRows(), func(a, b *Row) int { return int(a.Class) - int(b.Class) }) {
		t.Errorf("%d series", keys)
	}
}
