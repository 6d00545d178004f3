package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what a log should hold: every entry ever appended, and cursors.
type model struct {
	fs      *memFS
	log     *Log
	entries [][]byte // entry 1 is at 0
	sums    []uint64 // before each entry
	sum     uint64
	acked   map[string]uint64
	next    map[string]uint64
	now     time.Time
}

// modelOptions keeps the keeper from deleting on its own: retire does it.
func modelOptions() Options { return Options{SegmentBytes: 512, KeepSent: time.Hour} }

func (m *model) open(t *rapid.T) {
	l, err := open(m.fs, modelOptions())
	if err != nil {
		t.Fatal(err)
	}
	m.log = l
	for name := range m.acked {
		m.next[name] = m.acked[name] + 1
	}
}

func (m *model) append(t *rapid.T) {
	data := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")
	weight := rapid.Uint32Range(0, 5).Draw(t, "weight")
	cut := rapid.IntRange(0, len(data)).Draw(t, "cut")
	seq, err := m.log.Append(context.Background(), weight, data[:cut], data[cut:])
	if err != nil || seq != uint64(len(m.entries)+1) {
		t.Fatalf("sequence %d after %d entries: %v", seq, len(m.entries), err)
	}
	m.entries = append(m.entries, bytes.Clone(data))
	m.sums = append(m.sums, m.sum)
	m.sum += uint64(weight)
}

func (m *model) cursor(t *rapid.T) (*Cursor, string) {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "cursor")
	c, err := m.log.Cursor(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, known := m.acked[name]; !known {
		first, _, _ := m.log.Bounds()
		m.acked[name], m.next[name] = first-1, first
	}
	return c, name
}

func (m *model) read(t *rapid.T) {
	c, name := m.cursor(t)
	for range rapid.IntRange(1, 10).Draw(t, "count") {
		m.next[name] = max(m.next[name], m.log.firstSeq.Load())
		if m.next[name] > uint64(len(m.entries)) {
			return
		}
		e, err := c.Next(context.Background(), nil)
		if err == nil {
			err = m.compare(e, m.next[name])
		}
		if err != nil {
			t.Fatal(err)
		}
		m.next[name]++
	}
}

func (m *model) compare(e Entry, seq uint64) error {
	if e.Seq != seq || e.SumBefore != m.sums[seq-1] || !bytes.Equal(e.Data, m.entries[seq-1]) {
		return fmt.Errorf("entry %d (sum %d, %d bytes) where %d is due (sum %d, %d bytes)",
			e.Seq, e.SumBefore, len(e.Data), seq, m.sums[seq-1], len(m.entries[seq-1]))
	}
	return nil
}

func (m *model) ack(t *rapid.T) {
	c, name := m.cursor(t)
	through := rapid.Uint64Range(0, uint64(len(m.entries))).Draw(t, "through")
	c.Ack(through)
	m.acked[name] = max(m.acked[name], through)
}

func (m *model) rewind(t *rapid.T) {
	c, name := m.cursor(t)
	to := rapid.Uint64Range(0, uint64(len(m.entries)+1)).Draw(t, "to")
	if err := c.Rewind(to); err != nil {
		t.Fatal(err)
	}
	m.next[name] = max(to, m.log.firstSeq.Load())
}

func (m *model) random(t *rapid.T) {
	seq := rapid.Uint64Range(0, uint64(len(m.entries)+2)).Draw(t, "seq")
	e, err := m.log.Read(seq, nil)
	first, next, _ := m.log.Bounds()
	switch {
	case seq >= next:
		if !errors.Is(err, ErrNotYet) {
			t.Fatalf("entry %d: %v", seq, err)
		}
	case err == nil:
		if err := m.compare(e, seq); err != nil {
			t.Fatal(err)
		}
	case !errors.As(err, new(ErrGone)) || seq >= first:
		t.Fatalf("entry %d, first is %d: %v", seq, first, err)
	}
}

func (m *model) remove(t *rapid.T) {
	_, name := m.cursor(t)
	if err := m.log.RemoveCursor(name); err != nil {
		t.Fatal(err)
	}
	delete(m.acked, name)
	delete(m.next, name)
}

func (m *model) restart(t *rapid.T) {
	epoch := m.log.Epoch()
	if err := m.log.Close(); err != nil {
		t.Fatal(err)
	}
	m.open(t)
	if m.log.Epoch() != epoch {
		t.Fatal("another epoch")
	}
}

// retire lets the time of sent segments pass: once to be stamped, once to be over.
func (m *model) retire(t *rapid.T) {
	for range 2 {
		m.now = m.now.Add(2 * time.Hour)
		if _, err := m.log.retire(m.now); err != nil {
			t.Fatal(err)
		}
	}
}

// check compares what can be asked without reading.
func (m *model) check(t *rapid.T) {
	first, next, sum := m.log.Bounds()
	if next != uint64(len(m.entries)+1) || sum != m.sum {
		t.Fatalf("next %d sum %d, want %d %d", next, sum, len(m.entries)+1, m.sum)
	}
	for name, acked := range m.acked {
		if acked+1 < first && first > 1 {
			t.Fatalf("first is %d, cursor %s stands at %d", first, name, acked)
		}
	}
	if last, found, err := m.log.Last(); err != nil || found != (next > 1) || (found && last.Seq != next-1) {
		t.Fatalf("last %d %v %v", last.Seq, found, err)
	}
	if s := m.log.Stats(); s.Lost != (Count{}) || len(s.Cursors) != len(m.acked) {
		t.Fatalf("%+v", s)
	}
}

func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &model{fs: newMemFS(), acked: map[string]uint64{}, next: map[string]uint64{}, now: time.Now()}
		m.open(t)
		defer func() { _ = m.log.Close() }() // Close is checked by restart
		t.Repeat(map[string]func(*rapid.T){
			"append": m.append, "append again": m.append, "read": m.read, "ack": m.ack,
			"rewind": m.rewind, "random": m.random, "remove": m.remove, "restart": m.restart,
			"retire": m.retire, "": m.check,
		})
	})
}
