package spool

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

const budgetMax = 256 << 10

// member is a log of a budget, with its only cursor.
type member struct {
	log    *Log
	cursor *Cursor
}

// openMembers opens one log per policy on one disk.
func openMembers(t *testing.T, disk *memFS, o Options, policies ...Policy) (out []member) {
	t.Helper()
	for i, p := range policies {
		o.WhenFull = p
		l, err := open(newFolder(disk, fmt.Sprint(i)), o)
		if err != nil {
			t.Fatal(err)
		}
		c, err := l.Cursor("sink")
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, member{l, c})
	}
	return out
}

func closeMembers(t *testing.T, ms []member) {
	t.Helper()
	for _, m := range ms {
		if err := m.log.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// stuff appends entries of 1000 bytes until one finds no room within a second, or
// there are n.
func (m member) stuff(t *testing.T, n int) (taken int) {
	t.Helper()
	for ; taken < n; taken++ {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		_, err := m.log.Append(ctx, 1, make([]byte, 1000))
		cancel()
		if err != nil {
			return taken
		}
	}
	return taken
}

func (m member) ackAll() { m.cursor.Ack(m.log.nextSeq.Load() - 1) }

// agrees says what is wrong with the budget's books while nothing is written.
func (b *Budget) agrees() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l, n := range b.used {
		if total := l.totalBytes(); n != total {
			return fmt.Errorf("%d bytes booked, %d in segments", n, total)
		}
	}
	if sum := b.sum(); sum > b.max {
		return fmt.Errorf("%d bytes used, at most %d allowed", sum, b.max)
	}
	return nil
}

// TestBudgetGivesSentBeforeUnsent fills one log with what is sent and kept: the
// other takes its place, under every policy, and nobody loses or refuses anything
// before that is gone.
func TestBudgetGivesSentBeforeUnsent(t *testing.T) {
	for _, p := range []Policy{Refuse, DropNew, DropOldest} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(budgetMax, 2)
				ms := openMembers(t, newMemFS(), Options{Budget: b, KeepSent: time.Hour}, Refuse, p)
				if n := ms[0].stuff(t, 200); n != 200 {
					t.Fatalf("%d entries", n)
				}
				ms[0].ackAll()
				if n := ms[1].stuff(t, 200); n != 200 {
					t.Fatalf("%d entries beside what is sent", n)
				}
				s := ms[1].log.Stats()
				if s.Entries != 200 || len(s.Dropped) != 0 || ms[0].log.Stats().Entries > 60 {
					t.Fatalf("%+v", s)
				}
				if err := b.agrees(); err != nil {
					t.Fatal(err)
				}
				closeMembers(t, ms)
			})
		})
	}
}

// TestBudgetShare fills the budget with what is not sent: another log still has
// its share, and no more.
func TestBudgetShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(budgetMax, 2)
		ms := openMembers(t, newMemFS(), Options{Budget: b}, Refuse, Refuse)
		bulk := ms[0].stuff(t, 1000)
		if bulk < 200 || bulk > 230 {
			t.Fatalf("%d entries", bulk)
		}
		if alerts := ms[1].stuff(t, 1000); alerts < 28 || alerts > 40 {
			t.Fatalf("%d entries in a share of 32 KiB", alerts)
		}
		if s := ms[1].log.Stats(); s.State != StateFull || s.StateError == "" {
			t.Fatalf("%+v", s)
		}
		// What the one sends is room for the other, without a pause.
		waiting := make(chan error, 1)
		if err := ms[1].log.AppendAsync(t.Context(), 1, func(_ uint64, err error) { waiting <- err }, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		start := time.Now()
		ms[0].ackAll()
		if err := <-waiting; err != nil || time.Since(start) > 0 {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		if err := b.agrees(); err != nil {
			t.Fatal(err)
		}
		closeMembers(t, ms)
	})
}

// TestBudgetShareOfNewcomers opens more logs than were expected, beside one that
// has taken most: what is left is nobody's before each has its share.
func TestBudgetShareOfNewcomers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemFS()
		o := Options{Budget: NewBudget(budgetMax, 1)}
		ms := openMembers(t, disk, o, Refuse)
		if n := ms[0].stuff(t, 220); n != 220 {
			t.Fatalf("%d entries alone", n)
		}
		closeMembers(t, ms)
		ms = openMembers(t, disk, o, Refuse, Refuse, Refuse)
		if n := ms[2].stuff(t, 100); n < 16 || n > 25 {
			t.Fatalf("%d entries in a share of 21 KiB", n)
		}
		if err := o.Budget.agrees(); err != nil {
			t.Fatal(err)
		}
		closeMembers(t, ms)
	})
}

// TestBudgetDropsOnlyItsOwn: under DropOldest a log drops what is its own, never
// what another has not sent.
func TestBudgetDropsOnlyItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(budgetMax, 2)
		ms := openMembers(t, newMemFS(), Options{Budget: b}, Refuse, DropOldest)
		kept := ms[0].stuff(t, 1000)
		if n := ms[1].stuff(t, 500); n != 500 {
			t.Fatalf("%d entries", n)
		}
		if s := ms[0].log.Stats(); s.Entries != uint64(kept) || len(s.Dropped) != 0 { // #nosec G115 -- a count
			t.Fatalf("%+v", s)
		}
		if s := ms[1].log.Stats(); s.Dropped[DropOldestUnsent].Entries != s.First-1 || s.Entries < 15 {
			t.Fatalf("%+v", s)
		}
		closeMembers(t, ms)
	})
}

// TestBudgetThatShrank opens more than fits: nothing is lost, and appending goes
// on when enough has been sent.
func TestBudgetThatShrank(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := newMemFS()
		ms := openMembers(t, disk, Options{Budget: NewBudget(4*budgetMax, 2), KeepSent: time.Hour}, Refuse, Refuse)
		ms[0].stuff(t, 300)
		ms[1].stuff(t, 300)
		closeMembers(t, ms)
		b := NewBudget(budgetMax, 2)
		ms = openMembers(t, disk, Options{Budget: b, KeepSent: time.Hour}, Refuse, Refuse)
		if used, limit := b.Used(); used < 600_000 || limit != budgetMax {
			t.Fatalf("%d of %d bytes", used, limit)
		}
		if n := ms[1].stuff(t, 1); n != 0 {
			t.Fatal("an entry was taken beyond the bound")
		}
		ms[0].ackAll()
		ms[1].ackAll()
		if n := ms[1].stuff(t, 100); n != 100 {
			t.Fatalf("%d entries", n)
		}
		closeMembers(t, ms)
	})
}

// TestClosedLogIsLeftAlone: what a log holds when it is closed is nobody's to
// delete any more.
func TestClosedLogIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(budgetMax, 2)
		disk := newMemFS()
		ms := openMembers(t, disk, Options{Budget: b, KeepSent: time.Hour}, Refuse, DropOldest)
		ms[0].stuff(t, 100)
		ms[0].ackAll()
		closeMembers(t, ms[:1])
		if ms[0].log.reclaimSent() || b.reclaimOthers(ms[1].log) {
			t.Fatal("a segment of a closed log was deleted")
		}
		ms[1].stuff(t, 500)
		closeMembers(t, ms[1:])
		ms = openMembers(t, disk, Options{}, Refuse)
		if s := ms[0].log.Stats(); s.Entries != 100 || s.Lost.Entries != 0 {
			t.Fatalf("%+v", s)
		}
		closeMembers(t, ms)
	})
}

// TestFullDiskGivesSentBeforeUnsent shares one disk that is too small, without a
// budget: within each log what is sent goes first. With one, also between them.
func TestFullDiskGivesSentBeforeUnsent(t *testing.T) {
	for _, p := range []Policy{Refuse, DropNew, DropOldest} {
		for _, b := range []*Budget{nil, NewBudget(1<<30, 2)} {
			t.Run(fmt.Sprint(p, b != nil), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { fullSharedDisk(t, p, b) })
			})
		}
	}
}

func fullSharedDisk(t *testing.T, p Policy, b *Budget) {
	t.Helper()
	disk := newMemFS()
	ms := openMembers(t, disk, Options{SegmentBytes: 8 << 10, Budget: b, KeepSent: time.Hour}, p, p)
	ms[0].stuff(t, 100)
	ms[1].stuff(t, 50)
	disk.mu.Lock()
	disk.space = disk.used() + 4<<10 // room for positions
	disk.mu.Unlock()
	ms[0].cursor.Ack(40)
	for _, m := range ms {
		m.cursor.Ack(40)
		if n := m.stuff(t, 20); n != 20 {
			t.Fatalf("%d entries beside 40 that are sent: %+v", n, m.log.Stats())
		}
		if s := m.log.Stats(); len(s.Dropped) != 0 || s.State != StateOK {
			t.Fatalf("%+v", s)
		}
	}
	if b != nil {
		// The second has more to store than it has sent: the first helps out.
		ms[0].ackAll()
		if n := ms[1].stuff(t, 60); n != 60 || len(ms[1].log.Stats().Dropped) != 0 {
			t.Fatalf("%d entries: %+v", n, ms[1].log.Stats())
		}
		if err := b.agrees(); err != nil {
			t.Fatal(err)
		}
	}
	closeMembers(t, ms)
}

// TestBudgetBooksAfterFaults lets each operation fail in turn: what was taken and
// not written comes back.
func TestBudgetBooksAfterFaults(t *testing.T) {
	for _, kind := range []string{"write", "sync", "open", "syncdir", "remove", "truncate"} {
		for n := 1; n <= 20; n++ {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(budgetMax, 2)
				disk := newMemFS()
				disk.fault = faulty(kind, n, 3, errDisk)
				ms := openMembers(t, disk, Options{Budget: b, SegmentBytes: 8 << 10}, Refuse, DropOldest)
				for range 5 {
					for _, m := range ms {
						m.stuff(t, 10)
						m.ackAll()
					}
				}
				synctest.Wait()
				if err := b.agrees(); err != nil {
					t.Fatalf("%s number %d: %v", kind, n, err)
				}
				closeMembers(t, ms)
			})
		}
	}
}

// budgetModel has some logs of a budget on one disk.
type budgetModel struct {
	t      *testing.T
	budget *Budget
	disk   *memFS
	ms     []member
	opts   Options
	pol    []Policy
	told   map[*Log]uint64 // the last sequence named by Evict
}

func (m *budgetModel) open(i int) member {
	o := m.opts
	o.WhenFull = m.pol[i]
	var l *Log
	o.Evict = func(h EntryHead) error { m.told[l] = max(m.told[l], h.Last); return nil }
	l, err := open(newFolder(m.disk, fmt.Sprint(i)), o)
	if err != nil {
		m.t.Fatal(err)
	}
	c, err := l.Cursor("sink")
	if err != nil {
		m.t.Fatal(err)
	}
	return member{l, c}
}

func (m *budgetModel) append(t *rapid.T) {
	i := rapid.IntRange(0, len(m.ms)-1).Draw(t, "log")
	n := rapid.IntRange(1, 40).Draw(t, "entries")
	size := rapid.IntRange(0, 4000).Draw(t, "bytes")
	for range n {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		_, err := m.ms[i].log.Append(ctx, 1, make([]byte, size))
		cancel()
		if err == nil {
			continue
		}
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, ErrDropped) {
			t.Fatal(err)
		}
		for _, other := range m.ms {
			if _, found := other.log.sentSince(); found {
				t.Fatalf("%v while there is something sent: %+v", err, other.log.Stats())
			}
		}
		return
	}
}

func (m *budgetModel) ack(t *rapid.T) {
	i := rapid.IntRange(0, len(m.ms)-1).Draw(t, "log")
	c := m.ms[i].cursor
	c.Ack(rapid.Uint64Range(0, m.ms[i].log.nextSeq.Load()-1).Draw(t, "through"))
}

func (m *budgetModel) restart(t *rapid.T) {
	i := rapid.IntRange(0, len(m.ms)-1).Draw(t, "log")
	if err := m.ms[i].log.Close(); err != nil {
		t.Fatal(err)
	}
	delete(m.told, m.ms[i].log)
	m.ms[i] = m.open(i)
}

func (m *budgetModel) check(t *rapid.T) {
	synctest.Wait()
	if err := m.budget.agrees(); err != nil {
		t.Fatal(err)
	}
	for i, x := range m.ms {
		s := x.log.Stats()
		dropped := s.Dropped[DropOldestUnsent]
		if dropped.Entries > 0 && (m.pol[i] != DropOldest || m.told[x.log] == 0 || m.told[x.log] >= s.First) {
			t.Fatalf("%+v dropped, named to %d, first is %d", dropped, m.told[x.log], s.First)
		}
		if first := s.First; m.pol[i] != DropOldest && first > x.cursor.Acked()+1 {
			t.Fatalf("first is %d, acknowledged %d", first, x.cursor.Acked())
		}
	}
}

// TestBudgetModel: whatever the logs of a budget do, together they keep within
// it, its books agree with the disk, nothing is refused or dropped while anything
// is sent, and a log drops only its own.
func TestBudgetModel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Only the interface: rapid would ask *testing.T for a deadline in real time.
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			n := rapid.IntRange(1, 4).Draw(rt, "logs")
			m := &budgetModel{t: t, budget: NewBudget(128<<10, rapid.IntRange(0, 4).Draw(rt, "expected")), disk: newMemFS(), told: map[*Log]uint64{}}
			m.opts = Options{Budget: m.budget, SegmentBytes: 4 << 10, KeepSent: 24 * time.Hour}
			for i := range n {
				m.pol = append(m.pol, Policy(rapid.IntRange(0, 2).Draw(rt, "policy"))) // #nosec G115 -- 0 to 2
				m.ms = append(m.ms, m.open(i))
			}
			defer func() {
				for _, x := range m.ms {
					if err := x.log.Close(); err != nil {
						rt.Error(err)
					}
				}
			}()
			rt.Repeat(map[string]func(*rapid.T){
				"append": m.append, "append again": m.append, "append more": m.append,
				"ack": m.ack, "restart": m.restart, "": m.check,
			})
		})
	})
}

// TestBudgetManyAtOnce lets logs of all policies work as fast as they can, and
// others open and close beside them: nobody waits for ever, and the sum never
// exceeds the bound.
func TestBudgetManyAtOnce(t *testing.T) {
	b := NewBudget(budgetMax, 4)
	disk := newMemFS()
	o := Options{Budget: b, SegmentBytes: 4 << 10, KeepSent: time.Hour, Evict: func(EntryHead) error { return nil }}
	ms := openMembers(t, disk, o, Refuse, DropNew, DropOldest, Refuse)
	var work, watch sync.WaitGroup
	stop := make(chan struct{})
	watch.Go(func() {
		for {
			if used, limit := b.Used(); used > limit {
				t.Errorf("%d of %d bytes", used, limit)
				return
			}
			select {
			case <-stop:
				return
			default:
			}
		}
	})
	for i, m := range ms {
		work.Go(func() { m.hammer(t, rand.New(rand.NewPCG(1, uint64(i)))) }) // #nosec G404,G115 -- a repeatable test
	}
	work.Go(func() {
		for i := range 20 {
			visitor := member{}
			l, err := open(newFolder(disk, fmt.Sprint("visitor ", i)), o)
			if err != nil {
				t.Error(err)
				return
			}
			if visitor.cursor, err = l.Cursor("sink"); err != nil {
				t.Error(err)
			}
			visitor.log = l
			visitor.stuff(t, 5)
			visitor.ackAll()
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
	close(stop)
	watch.Wait()
	if err := b.agrees(); err != nil {
		t.Error(err)
	}
	closeMembers(t, ms)
	if used, _ := b.Used(); used != 0 {
		t.Errorf("%d bytes used by nobody", used)
	}
}

// hammer appends 1500 entries while a consumer reads and acknowledges them.
func (m member) hammer(t *testing.T, rnd *rand.Rand) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var consumer sync.WaitGroup
	reading, done := context.WithCancel(ctx)
	consumer.Go(func() { m.consume(reading) })
	last := make(chan struct{})
	const n = 1500
	for i := range n {
		ended := func(uint64, error) {
			if i == n-1 {
				close(last)
			}
		}
		if err := m.log.AppendAsync(ctx, 1, ended, make([]byte, rnd.IntN(2000))); err != nil {
			t.Error(err)
			break
		}
	}
	select {
	case <-last:
	case <-ctx.Done():
		t.Error("stuck")
	}
	done()
	consumer.Wait()
}

// consume acknowledges every seventh entry, with all before it.
func (m member) consume(ctx context.Context) {
	var buf []byte
	for {
		e, err := m.cursor.Next(ctx, buf)
		if err != nil {
			return
		}
		if buf = e.Data; e.Seq%7 == 0 {
			m.cursor.Ack(e.Seq)
		}
	}
}
