package spool

import (
	"bytes"
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

// evictCrashOptions makes a log that drops what is oldest within a few segments.
func evictCrashOptions(evict func(EntryHead) error) Options {
	return Options{SegmentBytes: 2 << 10, MaxBytes: 10 << 10, WhenFull: DropOldest, Evict: evict}
}

// mention records something that is neither an operation nor an acknowledgement
// of an entry.
func (m *memFS) mention(kind string, seq uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.trace = append(m.trace, op{kind: kind, seq: seq})
}

// recordEvictions appends far more than fits, with a consumer that falls behind
// and a restart. named says which losses the owner takes note of: all, but for a
// planted bug.
func recordEvictions(t *testing.T, m *memFS, named func(seq uint64) bool) []op {
	t.Helper()
	evict := func(h EntryHead) error {
		if named(h.Seq) {
			m.mention("named", h.Seq)
		}
		return nil
	}
	synctest.Test(t, func(t *testing.T) {
		for half := range uint64(2) {
			l, err := open(m, evictCrashOptions(evict))
			if err != nil {
				t.Fatal(err)
			}
			c, err := l.Cursor("sink")
			if err != nil {
				t.Fatal(err)
			}
			for seq := half*90 + 1; seq <= (half+1)*90; {
				if seq = appendSome(t, l, m, seq, (half+1)*90); seq%30 == 0 && seq >= 60 {
					m.mention("delivered", seq-50)
					ackUpTo(t, c, seq-50)
				}
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	return m.trace
}

// knownLosses says which promise is broken by what a crash left: every entry that
// was acknowledged is there, was delivered, or was named before.
func knownLosses(m *memFS, acked, delivered uint64, named map[uint64]bool) error {
	again := func(h EntryHead) error {
		if !bytes.Equal(h.Data, crashEntry(h.Seq)[:min(evictBytes, len(crashEntry(h.Seq)))]) && h.Err == nil {
			return fmt.Errorf("entry %d named as %q", h.Seq, h.Data)
		}
		return nil
	}
	l, err := open(m, evictCrashOptions(again))
	if err != nil {
		return err
	}
	first, next, _ := l.Bounds()
	if next <= acked {
		err = fmt.Errorf("next is %d, %d was acknowledged", next, acked)
	}
	for seq := delivered + 1; err == nil && seq < first; seq++ {
		if !named[seq] {
			err = fmt.Errorf("entry %d is gone and was not named", seq)
		}
	}
	for seq := first; err == nil && seq <= acked; seq++ {
		e, readErr := l.Read(seq, nil)
		if err = readErr; err == nil && !bytes.Equal(e.Data, crashEntry(seq)) {
			err = fmt.Errorf("entry %d reads %q", seq, e.Data)
		}
	}
	for seq := next; err == nil && seq < next+20; seq++ { // life goes on, and drops more
		_, err = l.Append(context.Background(), 2, crashEntry(seq))
	}
	return errors.Join(err, l.Close())
}

func crashEvictions(trace []op) (states int, broken error) {
	var acked, delivered uint64
	named := map[uint64]bool{}
	for at, o := range trace {
		switch o.kind {
		case "acked":
			acked = max(acked, o.seq)
		case "delivered":
			delivered = max(delivered, o.seq)
		case "named":
			named[o.seq] = true
		}
		for sample := range uint64(2) {
			rnd := rand.New(rand.NewPCG(7, uint64(at)<<8|sample)) // #nosec G404,G115 -- a repeatable test
			if err := knownLosses(crash(trace[:at+1], rnd), acked, delivered, named); err != nil {
				return states, fmt.Errorf("crash after operation %d of %d (%s %s), sample %d: %w", at, len(trace), o.kind, o.name, sample, err)
			}
			states++
		}
	}
	return states, nil
}

func TestCrashNeverLosesUnnamed(t *testing.T) {
	trace := recordEvictions(t, newMemFS(), func(uint64) bool { return true })
	kinds := map[string]int{}
	for _, o := range trace {
		kinds[o.kind]++
	}
	if kinds["named"] < 60 || kinds["remove"] < 5 || kinds["delivered"] < 2 {
		t.Fatalf("the run did too little: %v", kinds)
	}
	states, err := crashEvictions(trace)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d crash states, operations %v", states, kinds)
	// The same with an owner that forgets: it must be found.
	states, err = crashEvictions(recordEvictions(t, newMemFS(), func(seq uint64) bool { return seq != 44 }))
	if err == nil {
		t.Fatalf("%d crash states, nothing found", states)
	}
	t.Logf("found after %d states: %v", states, err)
}

// TestEvictOfUnreadable drops segments of which the disk does not give a part:
// tried again first, then named as damaged.
func TestEvictOfUnreadable(t *testing.T) {
	for name, c := range map[string]*unreadable{
		"data, heals":     {off: 2*(1000+recordHeadBytes) + 100, heals: true},
		"data":            {off: 2*(1000+recordHeadBytes) + 100, damaged: true},
		"header":          {off: 2*(1000+recordHeadBytes) + 10, damaged: true},
		"what is sent":    {off: 2*(1000+recordHeadBytes) + 10, acked: 6, damaged: true},
		"last header":     {off: 14*(1000+recordHeadBytes) + 10, damaged: true},
		"end of a record": {off: 13*(1000+recordHeadBytes) - 5, damaged: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { c.run(t) })
		})
	}
}

// unreadable is a place that the disk does not give, the same in each segment.
type unreadable struct {
	off     int64 // behind the segment's head
	acked   uint64
	heals   bool // the disk gives it later
	damaged bool // expected

	mu       sync.Mutex
	due      uint64
	lost     int
	attempts map[uint64]int // by the first entry named
}

// evict notes what it is told; an attempt may begin again where one before did.
func (c *unreadable) evict(h EntryHead) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Seq != c.due && c.attempts[h.Seq] > 0 {
		c.due = h.Seq
	}
	if h.Seq == c.acked+1 || (h.Seq-1)%15 == 0 {
		c.attempts[h.Seq]++
	}
	if h.Seq != c.due || h.Weight != h.Last-h.Seq+1 {
		return fmt.Errorf("%d-%d of weight %d where %d is due", h.Seq, h.Last, h.Weight, c.due)
	}
	if c.due = h.Last + 1; h.Err != nil {
		c.lost++
	}
	return nil
}

func (c *unreadable) run(t *testing.T) {
	t.Helper()
	at := segmentHeadBytes + c.off
	disk := &badSpot{fileSystem: newMemFS(), from: at, to: at + 20}
	c.due, c.attempts = c.acked+1, map[uint64]int{}
	l, err := open(disk, Options{MaxBytes: 64 << 10, SegmentBytes: 16 << 10, WhenFull: DropOldest, Evict: c.evict})
	if err != nil {
		t.Fatal(err)
	}
	cursor, err := l.Cursor("sink")
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(90) {
		if c.heals && l.Stats().State == StateFull {
			disk.from, disk.to = 0, 0
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second/2)
		_, err := l.Append(ctx, 1, make([]byte, 1000))
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if seq == 10 {
			cursor.Ack(c.acked)
		}
		synctest.Wait()
	}
	s := l.Stats()
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.First < 31 || s.First > c.due || (c.lost > 0) != c.damaged {
		t.Fatalf("first is %d, named to %d, %d damaged, %s", s.First, c.due-1, c.lost, s.StateError)
	}
	if !c.heals && c.attempts[16] < readRetries {
		t.Fatalf("attempts by first entry: %v", c.attempts)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// evictModel is a log that drops, and what it said about it.
type evictModel struct {
	t       *testing.T
	fs      *memFS
	log     *Log
	entries [][]byte
	sums    []uint64
	sum     uint64
	acked   map[string]uint64
	named   map[uint64]bool
	wrong   error // what Evict was told and is not so
	broken  bool  // Evict gives errors
	calls   int
	refused int
}

var errLedger = errors.New("ledger does not take it")

func (m *evictModel) evict(h EntryHead) error {
	m.calls++
	if m.broken && m.calls%3 == 0 {
		m.refused++
		return errLedger
	}
	i := int(h.Seq) - 1 // #nosec G115 -- small
	switch {
	case h.Seq == 0 || i >= len(m.entries) || h.Last != h.Seq || h.Err != nil:
		m.wrong = fmt.Errorf("%d-%d named: %w", h.Seq, h.Last, h.Err)
	case h.SumBefore != m.sums[i] || h.Bytes != int64(len(m.entries[i])) || !bytes.Equal(h.Data, m.entries[i][:min(evictBytes, len(m.entries[i]))]):
		m.wrong = fmt.Errorf("entry %d: sum %d, %d bytes", h.Seq, h.SumBefore, h.Bytes)
	}
	for _, acked := range m.acked {
		if h.Seq > acked {
			m.named[h.Seq] = true
			return nil
		}
	}
	if len(m.acked) > 0 {
		m.wrong = fmt.Errorf("entry %d named, all have acknowledged it", h.Seq)
	}
	m.named[h.Seq] = true
	return nil
}

func (m *evictModel) open() {
	l, err := open(m.fs, Options{SegmentBytes: 1 << 10, MaxBytes: 6 << 10, WhenFull: DropOldest, KeepSent: time.Hour, Evict: m.evict})
	if err != nil {
		m.t.Fatal(err)
	}
	m.log = l
}

func (m *evictModel) append(t *rapid.T) {
	for range rapid.IntRange(1, 20).Draw(t, "count") {
		data := bytes.Repeat(rapid.SliceOfN(rapid.Byte(), 1, 7).Draw(t, "data"), rapid.IntRange(0, 100).Draw(t, "times"))
		weight := rapid.Uint32Range(0, 5).Draw(t, "weight")
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		seq, err := m.log.Append(ctx, weight, data)
		cancel()
		if err != nil {
			if s := m.log.Stats(); !m.broken || s.State != StateFull {
				t.Fatalf("%v: %+v", err, s)
			}
			return
		}
		if seq != uint64(len(m.entries)+1) {
			t.Fatalf("sequence %d after %d entries", seq, len(m.entries))
		}
		m.entries, m.sums = append(m.entries, data), append(m.sums, m.sum)
		m.sum += uint64(weight)
	}
}

func (m *evictModel) ack(t *rapid.T) {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "cursor")
	c, err := m.log.Cursor(name)
	if err != nil {
		t.Fatal(err)
	}
	c.Ack(rapid.Uint64Range(0, uint64(len(m.entries))).Draw(t, "through"))
	m.acked[name] = c.Acked()
}

func (m *evictModel) restart(t *rapid.T) {
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.open()
}

// head compares a random head, and the totals of a random range.
func (m *evictModel) head(t *rapid.T) {
	first, next, _ := m.log.Bounds()
	if first == next {
		return
	}
	from := rapid.Uint64Range(first, next-1).Draw(t, "from")
	to := rapid.Uint64Range(from, next-1).Draw(t, "to")
	n := rapid.IntRange(0, 800).Draw(t, "bytes")
	h, err := m.log.ReadHead(from, n)
	if want := m.entries[from-1]; err != nil || !bytes.Equal(h.Data, want[:min(n, len(want))]) || h.SumBefore != m.sums[from-1] || h.Bytes != int64(len(want)) {
		t.Fatalf("head of %d: %d bytes, sum %d: %v", from, len(h.Data), h.SumBefore, err)
	}
	size, end := int64(0), m.sum
	for _, e := range m.entries[from-1 : to] {
		size += int64(len(e))
	}
	if to < uint64(len(m.sums)) {
		end = m.sums[to]
	}
	entries, weight, got, err := m.log.Weigh(from, to)
	if err != nil || entries != to-from+1 || weight != end-m.sums[from-1] || got != size {
		t.Fatalf("%d-%d: %d entries, weight %d, %d bytes (want %d): %v", from, to, entries, weight, got, size, err)
	}
}

func (m *evictModel) check(t *rapid.T) {
	synctest.Wait()
	if m.wrong != nil {
		t.Fatal(m.wrong)
	}
	s := m.log.Stats()
	if s.Bytes > 6<<10 {
		t.Fatalf("%d bytes", s.Bytes)
	}
	slowest := uint64(0)
	for i, c := range s.Cursors {
		if i == 0 || c.Acked < slowest {
			slowest = c.Acked
		}
	}
	for seq := slowest + 1; seq < s.First; seq++ {
		if !m.named[seq] {
			t.Fatalf("entry %d is gone and was not named", seq)
		}
	}
}

func TestEvictModel(t *testing.T) {
	calls, refused := 0, 0
	defer func() {
		if t.Logf("%d calls, %d refused", calls, refused); calls == 0 || refused == 0 {
			t.Error("nothing was dropped, or never refused")
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		rapid.Check(struct{ rapid.TB }{t}, func(rt *rapid.T) {
			m := &evictModel{t: t, fs: newMemFS(), acked: map[string]uint64{}, named: map[uint64]bool{}}
			m.open()
			defer func() {
				_ = m.log.Close() // Close is checked by restart
				calls, refused = calls+m.calls, refused+m.refused
			}()
			rt.Repeat(map[string]func(*rapid.T){
				"append": m.append, "append again": m.append, "ack": m.ack, "restart": m.restart, "head": m.head,
				"break or heal": func(*rapid.T) { m.broken = !m.broken }, "": m.check,
			})
		})
	})
}
