package gateway

import (
	"bytes"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode"
)

func drawEnvelope(t *rapid.T) envelope {
	u64 := rapid.Uint64()
	e := envelope{
		kind:      rapid.SampledFrom([]byte{kindLink, kindGap}).Draw(t, "kind"),
		late:      rapid.Bool().Draw(t, "late"),
		sumBefore: u64.Draw(t, "sum"),
		totals:    totals{Batches: u64.Draw(t, "batches"), Records: u64.Draw(t, "records")},
	}
	copy(e.id.Epoch[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "epoch"))
	e.id.Class, e.id.Seq = diode.Class(rapid.IntRange(0, 7).Draw(t, "class")), u64.Draw(t, "seq")
	e.position = diode.Position{Epoch: e.id.Epoch, Class: e.id.Class, Seq: u64.Draw(t, "position"), SumAfter: u64.Draw(t, "after")}
	moment := func(name string) time.Time {
		if !rapid.Bool().Draw(t, name+" known") {
			return time.Time{}
		}
		return time.Unix(0, rapid.Int64Range(1, 1<<62).Draw(t, name))
	}
	if e.kind == kindLink {
		e.accepted, e.arrived, e.resent = moment("accepted"), moment("arrived"), rapid.Bool().Draw(t, "resent")
		return e
	}
	if e.kind == kindGap {
		e.gap = diode.Gap{
			Epoch: e.id.Epoch, Class: e.id.Class, First: e.id.Seq, Last: u64.Draw(t, "last"), Weight: u64.Draw(t, "weight"),
			WeightKnown: rapid.Bool().Draw(t, "known"), BeforeFirstContact: rapid.Bool().Draw(t, "first contact"),
			Reason: rapid.SampledFrom([]string{"", "link", "overload"}).Draw(t, "reason"), DeclaredAt: moment("declared at"),
			Before: diode.Neighbour{Near: moment("before near"), Far: moment("before far")},
			After:  diode.Neighbour{Near: moment("after near"), Far: moment("after far")},
		}
		if e.gap.Last != 0 {
			e.gap.SumAfter = e.sumBefore + e.gap.Weight
		}
	}
	return e
}

func TestEnvelopeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawEnvelope(t)
		batch := []byte("batch")
		got, rest, err := parseEnvelope(append(want.encode(), batch...))
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
		if want.kind == kindLink && !bytes.Equal(rest, batch) {
			t.Fatalf("batch %q", rest)
		}
	})
}

func TestLocalEnvelope(t *testing.T) {
	e, rest, err := parseEnvelope(append(localEnvelope(time.Now()), "batch"...))
	if err != nil || e.kind != kindLocal || string(rest) != "batch" {
		t.Fatalf("%+v %q %v", e, rest, err)
	}
}

// What was written before there were times is still read.
func TestEnvelopeWithoutTimes(t *testing.T) {
	link := envelope{kind: kindLink, id: diode.BatchID{Seq: 7}, sumBefore: 3}
	b := link.encode()
	old := append(append([]byte{}, b[:linkBytes]...), "batch"...)
	old[1] &^= flagTimed
	got, rest, err := parseEnvelope(old)
	if err != nil || got != link || string(rest) != "batch" {
		t.Errorf("%+v %q %v", got, rest, err)
	}
	gap := envelope{kind: kindGap, id: diode.BatchID{Seq: 7}, gap: diode.Gap{First: 7, Last: 9, SumAfter: 30, Weight: 30, Reason: "link"}}
	b = gap.encode()
	old = append(append([]byte{}, b[:linkBytes]...), b[linkBytes+2*neighbourBytes:]...)
	old[1] &^= flagTimed
	if got, _, err := parseEnvelope(old); err != nil || got != gap {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add([]byte{})
	f.Add(localEnvelope(time.Now()))
	f.Add(envelope{kind: kindLink}.encode())
	f.Add(envelope{kind: kindGap, gap: diode.Gap{Reason: "link"}}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, rest, err := parseEnvelope(b)
		if err != nil {
			return
		}
		if e.kind != kindLocal && e.kind != kindLink && e.kind != kindGap {
			t.Fatalf("kind %d accepted", e.kind)
		}
		if len(rest) > len(b) {
			t.Fatal("batch longer than the entry")
		}
	})
}
