package gateway

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// entry is one entry of a link's spool: a batch of weight 10 as the sender numbered it.
func batchOf(epoch byte, seq uint64) diode.Batch {
	return diode.Batch{BatchID: diode.BatchID{Epoch: [16]byte{epoch}, Seq: seq}, Weight: 10, SumBefore: 10 * (seq - 1), Data: []byte("b")}
}

func gapOf(epoch byte, first, last uint64, reason string) diode.Gap {
	g := diode.Gap{Epoch: [16]byte{epoch}, First: first, Last: last, Reason: reason}
	if last >= first {
		g.Weight, g.WeightKnown = 10*(last-first+1), true
	}
	return g
}

// forgetting makes a far that has handed these batches to a spool which dropped them.
func (f *far) forgetting(batches ...diode.Batch) {
	for _, b := range batches {
		f.pos[0] = diode.Position{Epoch: b.Epoch, Seq: b.Seq, SumAfter: b.SumBefore + uint64(b.Weight)}
	}
}

func TestWhatWasDroppedAndNotNamedBeforeACrashIsFound(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(t *testing.T, f *far)
		want []diode.Gap
	}{
		{"nothing dropped", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batchOf(1, 1))
			gap(t, f, gapOf(1, 2, 3, diode.ReasonLink))
			deliver(t, f, batchOf(1, 4))
		}, nil},
		{"in the middle", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batchOf(1, 1))
			f.forgetting(batchOf(1, 2), batchOf(1, 3))
			deliver(t, f, batchOf(1, 4))
		}, []diode.Gap{gapOf(1, 2, 3, diode.ReasonFarIO)}},
		{"named in part", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batchOf(1, 1))
			f.forgetting(batchOf(1, 2), batchOf(1, 3))
			deliver(t, f, batchOf(1, 4))
			gap(t, f, gapOf(1, 2, 2, diode.ReasonFarIO))
		}, []diode.Gap{gapOf(1, 3, 3, diode.ReasonFarIO)}},
		{"named in full", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batchOf(1, 1))
			f.forgetting(batchOf(1, 2))
			deliver(t, f, batchOf(1, 3))
			gap(t, f, gapOf(1, 2, 2, diode.ReasonFarIO))
		}, nil},
		{"at the end, behind a late one", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batchOf(1, 1))
			gap(t, f, gapOf(1, 2, 2, diode.ReasonLink))
			f.forgetting(batchOf(1, 3))
			late := batchOf(1, 2)
			late.Late = true
			deliver(t, f, late)
		}, []diode.Gap{gapOf(1, 3, 3, diode.ReasonFarIO)}},
		{"a new epoch begins with a gap", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batchOf(1, 1))
			gap(t, f, gapOf(1, 2, 0, diode.ReasonEpochEnd))
			f.current = func(diode.Class) [16]byte { return [16]byte{2} }
			gap(t, f, gapOf(2, 1, 4, diode.ReasonFirstContact))
			deliver(t, f, batchOf(2, 5))
		}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{})
			c.do(t, newFar(o, nil, make([]totals, len(classes())), &linkCounts{}, quiet()))
			got, err := o.unnamed()
			if err != nil || len(got) != len(c.want) {
				t.Fatalf("got %+v, %v, want %+v", got, err, c.want)
			}
			for i := range got {
				got[i].DeclaredAt = time.Time{}
				if got[i] != c.want[i] {
					t.Fatalf("got %+v, want %+v", got[i], c.want[i])
				}
			}
		})
	}
}

// A link that starts names what its spool had dropped, once: the position stays where it is.
func TestALinkNamesAtItsStartWhatNobodyHasNamed(t *testing.T) {
	l := testGroup(t, t.TempDir(), spool.Options{})
	f := newFar(l.origin, nil, make([]totals, len(classes())), &linkCounts{}, quiet())
	deliver(t, f, batchOf(1, 1))
	f.forgetting(batchOf(1, 2), batchOf(1, 3))
	deliver(t, f, batchOf(1, 4))
	for range 2 {
		f, at, err := l.landing(soon(t))
		if err != nil {
			t.Fatal(err)
		}
		if want := (totals{Batches: 2, Records: 20}); f.totals() != want {
			t.Fatalf("lost %+v, want %+v", f.totals(), want)
		}
		if len(at.positions) != 1 || at.positions[0].Seq != 4 || at.positions[0].SumAfter != 40 {
			t.Fatalf("positions %+v", at.positions)
		}
	}
	if st := l.origin.logs[0].Stats(); st.Entries != 3 {
		t.Fatalf("%d entries, want two batches and one gap", st.Entries)
	}
}

func TestTheTailIsBoundedAndWhole(t *testing.T) {
	o := testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{})
	f := newFar(o, nil, make([]totals, len(classes())), &linkCounts{}, quiet())
	big := make([]byte, 1<<20)
	for seq := uint64(1); seq <= 3*tailStride; seq++ {
		b := batchOf(1, seq)
		if seq <= tailStride {
			b.Data = big // 256 MiB: behind the bound
			if seq%8 != 0 {
				b.Data = big[:1]
			}
		}
		deliver(t, f, b)
	}
	got, err := tail(o.logs[0])
	if err != nil || len(got) != 3*tailStride {
		t.Fatalf("%d entries, %v", len(got), err)
	}
	for i, e := range got {
		if e.seq != uint64(i+1) {
			t.Fatalf("entry %d has sequence %d", i, e.seq)
		}
	}
}

// The epoch that a position is of never goes back.
func TestAGapOfAnEpochThatIsOverDoesNotMoveThePosition(t *testing.T) {
	f := newFar(testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{}), nil, make([]totals, len(classes())), &linkCounts{}, quiet())
	f.current = func(diode.Class) [16]byte { return [16]byte{2} }
	deliver(t, f, batchOf(1, 5))
	deliver(t, f, batchOf(2, 1))
	want := f.pos[0]
	gap(t, f, gapOf(1, 5, 5, diode.ReasonFarIO))        // dropped when it came, named afterwards
	gap(t, f, gapOf(3, 1, 9, diode.ReasonFirstContact)) // of an older session that spoke late
	gap(t, f, gapOf(1, 6, 0, diode.ReasonEpochEnd))     // nobody knows how many
	if f.pos[0] != want || f.totals().Batches != 1+9 {
		t.Fatalf("position %+v, want %+v; lost %+v", f.pos[0], want, f.totals())
	}
	f.current = func(diode.Class) [16]byte { return [16]byte{3} }
	gap(t, f, gapOf(3, 1, 9, diode.ReasonFirstContact))
	if f.pos[0].Epoch != [16]byte{3} || f.pos[0].Seq != 9 {
		t.Fatalf("position %+v, want sequence 9 of the epoch that has begun", f.pos[0])
	}
}

// A gap alone, of an epoch of which nothing was ever heard, is no position: a link that took it for one would name the
// end of an epoch that never was at each start.
func TestNothingKnownIsNoPosition(t *testing.T) {
	o := testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{})
	f := newFar(o, nil, make([]totals, len(classes())), &linkCounts{}, quiet())
	gap(t, f, gapOf(1, 1, 0, diode.ReasonEpochEnd))
	if ps, _, err := o.positions(); err != nil || len(ps) != 0 {
		t.Fatalf("positions %+v, %v", ps, err)
	}
}

// An operator asks for status when things stand still: then above all it must not stand still itself.
func TestLossesAreShownWhileTheFarSpoolTakesNothing(t *testing.T) {
	l := testGroup(t, t.TempDir(), spool.Options{MaxBytes: 64 << 10, QueueBytes: 1 << 10})
	if _, err := l.origin.cursors("sink.never"); err != nil {
		t.Fatal(err)
	}
	f, _, err := l.landing(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	blocked := start(func() error {
		for seq := uint64(1); ; seq++ {
			b := batchOf(1, seq)
			b.Data = make([]byte, 8<<10)
			if err := f.Deliver(ctx, b, func(error) {}); err != nil {
				return err
			}
		}
	})
	for deadline := time.Now().Add(20 * time.Second); l.origin.logs[0].Stats().State != spool.StateFull; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the spool does not get full")
		}
	}
	shown := start(func() error { l.ends[0].link.status(); return nil })
	select {
	case <-shown.done:
	case <-soon(t).Done():
		t.Error("status waits for the spool")
	}
	cancel()
	if err := blocked.wait(); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestWhatNoSinkTakesIsCounted(t *testing.T) {
	counts := &linkCounts{}
	f := newFar(testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{}), nil, make([]totals, len(classes())), counts, quiet())
	f.routed = map[string]bool{"udp.a": true}
	for i, data := range [][]byte{testBatch(t, "udp.a", [16]byte{1}, "x"), testBatch(t, "udp.b", [16]byte{1}, "x"), []byte("garbage"), nil} {
		b := batchOf(1, uint64(i)+1)
		b.Data = data
		deliver(t, f, b)
	}
	got := counts.dropped.snapshot()
	if len(got) != 2 || got["no-sink: udp.b"].Records != 10 || got["unreadable-batch"].Batches != 2 {
		t.Fatalf("counted %+v", got)
	}
}

func TestAClassThatThisNodeDoesNotKnowStopsNoOther(t *testing.T) {
	counts := &linkCounts{}
	f := newFar(testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{}), nil, make([]totals, len(classes())), counts, quiet())
	b := batchOf(1, 1)
	b.Class = 2
	if err := f.Deliver(soon(t), b, func(error) { t.Error("decided") }); err == nil {
		t.Error("taken")
	}
	g := gapOf(1, 1, 1, diode.ReasonFarIO)
	g.Class = 2
	gap(t, f, g)
	if got := counts.dropped.snapshot()["unknown class 2"]; got.Batches != 1 || got.Records != 10 {
		t.Fatalf("counted %+v", got)
	}
}
