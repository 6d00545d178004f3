package gateway

import (
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

func deliver(t *testing.T, f *far, b diode.Batch) {
	t.Helper()
	done := make(chan error, 1)
	if err := f.Deliver(soon(t), b, func(err error) { done <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

func reopened(t *testing.T, dir string) (diode.Position, totals) {
	t.Helper()
	o, err := openOrigin(dir, fromOrigin("d"), spool.Options{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close() //nolint:errcheck // only read
	ps, lost, err := o.positions()
	if err != nil {
		t.Fatal(err)
	}
	if len(ps) != 1 {
		t.Fatalf("%d positions, want 1", len(ps))
	}
	return ps[0], lost[0]
}

func TestPositionOfALinkSurvivesInItsSpool(t *testing.T) {
	epoch, next := [16]byte{1}, [16]byte{2}
	batch := func(e [16]byte, seq, sum uint64) diode.Batch {
		return diode.Batch{BatchID: diode.BatchID{Epoch: e, Seq: seq}, Weight: 10, SumBefore: sum, Data: []byte("b")}
	}
	late := batch(epoch, 2, 10)
	late.Late = true
	for _, c := range []struct {
		name string
		do   func(t *testing.T, f *far)
		want diode.Position
		lost totals
	}{
		{"batches", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batch(epoch, 1, 0))
			deliver(t, f, batch(epoch, 2, 10))
		}, diode.Position{Epoch: epoch, Seq: 2, SumAfter: 20}, totals{}},
		{"a gap counts and moves it", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batch(epoch, 1, 0))
			gap(t, f, diode.Gap{Epoch: epoch, First: 2, Last: 4, Weight: 30, WeightKnown: true, Reason: diode.ReasonLink})
		}, diode.Position{Epoch: epoch, Seq: 4, SumAfter: 40}, totals{Batches: 3, Records: 30}},
		{"a late batch does not move it back", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batch(epoch, 1, 0))
			gap(t, f, diode.Gap{Epoch: epoch, First: 2, Last: 2, Weight: 10, WeightKnown: true, Reason: diode.ReasonLink})
			deliver(t, f, batch(epoch, 3, 20))
			deliver(t, f, late)
		}, diode.Position{Epoch: epoch, Seq: 3, SumAfter: 30}, totals{Batches: 1, Records: 10}},
		{"a new epoch", func(t *testing.T, f *far) {
			t.Helper()
			deliver(t, f, batch(epoch, 7, 60))
			deliver(t, f, batch(next, 1, 0))
		}, diode.Position{Epoch: next, Seq: 1, SumAfter: 10}, totals{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o, err := openOrigin(dir, fromOrigin("d"), spool.Options{}, quiet())
			if err != nil {
				t.Fatal(err)
			}
			c.do(t, newFar(o, nil, make([]totals, len(classes())), &linkCounts{}, quiet()))
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			got, lost := reopened(t, dir)
			if got != c.want || lost != c.lost {
				t.Fatalf("position %+v lost %+v, want %+v and %+v", got, lost, c.want, c.lost)
			}
		})
	}
}

func gap(t *testing.T, f *far, g diode.Gap) {
	t.Helper()
	if err := f.Gap(soon(t), g); err != nil {
		t.Fatal(err)
	}
}

func TestFullFarSpoolIsCounted(t *testing.T) {
	o := testOrigin(t, t.TempDir(), fromOrigin("d"), spool.Options{MaxBytes: 64 << 10, WhenFull: spool.DropNew})
	if _, err := o.cursors("sink.never"); err != nil {
		t.Fatal(err)
	}
	counts := &linkCounts{}
	f := newFar(o, nil, make([]totals, len(classes())), counts, quiet())
	data := make([]byte, 4<<10)
	for seq := uint64(1); seq <= 64; seq++ {
		done := make(chan error, 1)
		b := diode.Batch{BatchID: diode.BatchID{Seq: seq}, Weight: 2, SumBefore: 2 * (seq - 1), Data: data}
		if err := f.Deliver(soon(t), b, func(err error) { done <- err }); err != nil {
			t.Fatal(err)
		}
		var named interface{ GapReason() string }
		if err := <-done; err != nil && (!errors.As(err, &named) || named.GapReason() != diode.ReasonFarFull) {
			t.Fatalf("dropped for another reason: %v", err)
		}
	}
	drop := counts.dropped.snapshot()["far-spool-full"]
	if drop.Batches == 0 || drop.Records != 2*drop.Batches {
		t.Fatalf("counted %+v", drop)
	}
	if st := o.logs[0].Stats(); st.Entries+drop.Batches != 64 {
		t.Fatalf("%d kept and %d counted of 64", st.Entries, drop.Batches)
	}
}

func TestIntakeRefusesForeignBatches(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	in := &intake{receiver: "udp.a", stream: sdk.StreamID{1}, origin: o, counts: &receiverCounts{}, log: quiet()}
	for name, batch := range map[string][]byte{
		"garbage":          []byte("garbage"),
		"another receiver": testBatch(t, "udp.b", sdk.StreamID{1}, "x"),
		"another stream":   testBatch(t, "udp.a", sdk.StreamID{2}, "x"),
		"cut short":        testBatch(t, "udp.a", sdk.StreamID{1}, "x")[:40],
	} {
		err := in.Deliver(soon(t), sdk.ClassBulk, batch, func(error) { t.Errorf("%s: decided", name) })
		if sdk.CodeOf(err) != sdk.CodeRefused {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, next, _ := o.logs[0].Bounds(); next != 1 {
		t.Errorf("%d entries spooled", next-1)
	}
	if got := in.counts.dropped.snapshot()["garbage-batch"].Batches; got != 4 {
		t.Errorf("%d counted, want 4", got)
	}
}

func TestIntakeDecidesWhenTheBatchIsDurable(t *testing.T) {
	dir := t.TempDir()
	o := testOrigin(t, dir, localOrigin, spool.Options{})
	in := &intake{receiver: "udp.a", stream: sdk.StreamID{1}, origin: o, counts: &receiverCounts{}, log: quiet()}
	decided := make(chan error, 1)
	if err := in.Deliver(soon(t), sdk.ClassBulk, testBatch(t, "udp.a", sdk.StreamID{1}, "x", "y"), func(err error) { decided <- err }); err != nil {
		t.Fatal(err)
	}
	if err := <-decided; err != nil {
		t.Fatal(err)
	}
	if in.taken.Load() != 2 || in.counts.records.Load() != 2 {
		t.Fatalf("%d taken, %d counted, want 2", in.taken.Load(), in.counts.records.Load())
	}
	if last, ok, err := o.logs[0].Last(); err != nil || !ok || last.Weight != 2 {
		t.Fatalf("%+v %v %v", last, ok, err)
	}
}

func TestReasonsOfWhatIsNotStored(t *testing.T) {
	for err, want := range map[error]string{
		spool.ErrDropped: diode.ReasonFarFull,
		fmt.Errorf("%w: %w", spool.ErrDropped, unix.ENOSPC): diode.ReasonFarFull,
		fmt.Errorf("%w: %w", spool.ErrDropped, unix.EDQUOT): diode.ReasonFarFull,
		fmt.Errorf("%w: %w", spool.ErrDropped, unix.EIO):    diode.ReasonFarIO,
	} {
		if got := dropReason(err); got != want {
			t.Errorf("%v: %s, want %s", err, got, want)
		}
	}
}
