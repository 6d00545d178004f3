package fec_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// The figures of the design: parity that one block needs at 1 % and 5 % loss.
func TestSmallParity(t *testing.T) {
	for _, c := range []struct {
		loss    float64
		parity  float64
		k, want int
	}{
		{0.01, 0, 1, 4},
		{0.01, 0, 8, 6},
		{0.01, 0, 32, 8},
		{0.05, 0, 1, 6},
		{0.05, 0, 8, 10},
		{0.05, 0, 32, 15},
		{0, 0, 5, 2},
		{0, 0.25, 40, 10},
	} {
		p := fec.Protection{Parity: c.parity, DesignLoss: c.loss}
		if got := p.Small(c.k); got != c.want {
			t.Errorf("k=%d loss=%v parity=%v: m=%d, want %d", c.k, c.loss, c.parity, got, c.want)
		}
	}
}

func TestBulkShape(t *testing.T) {
	for _, c := range []struct {
		parity, loss float64
		k, m         int
	}{
		{0, 0, 224, 32},
		{0, 0.01, 224, 32},
		{0.16, 0.01, 192, 32},
		{0.25, 0.01, 128, 32},
		{0, 0.05, 128, 32},
		{0.3, 0.01, 192, 64},
		{0, 0.10, 192, 64},
		{1, 0, 128, 128},
	} {
		s, err := fec.Protection{Parity: c.parity, DesignLoss: c.loss}.Bulk(1408)
		if err != nil || s.Data != c.k || s.Parity != c.m {
			t.Errorf("parity %v loss %v: %+v %v, want %d+%d", c.parity, c.loss, s, err, c.k, c.m)
		}
		if err := s.Check(s.Code()); err != nil {
			t.Error(err)
		}
	}
	if _, err := (fec.Protection{Parity: 1.5}).Bulk(1408); !errors.Is(err, fec.ErrShape) {
		t.Errorf("parity 150%%: %v", err)
	}
}

func TestRefusedShapes(t *testing.T) {
	for _, c := range []struct {
		code frame.Code
		s    fec.Shape
	}{
		{frame.CodeLeopard, fec.Shape{Data: 200, Parity: 55, ShardBytes: 64}},
		{frame.CodeClassic, fec.Shape{Data: 0, Parity: 1, ShardBytes: 64}},
		{frame.CodeClassic, fec.Shape{Data: 200, Parity: 57, ShardBytes: 64}},
		{frame.CodeClassic, fec.Shape{Data: 2, Parity: 2, ShardBytes: 63}},
		{frame.CodeOpen, fec.Shape{Data: 2, Parity: 2, ShardBytes: 64}},
	} {
		if err := c.s.Check(c.code); !errors.Is(err, fec.ErrShape) {
			t.Errorf("code %d %+v: %v", c.code, c.s, err)
		}
	}
}

// Any K of K+M shards give the data back; fewer are refused.
func TestAnyKShards(t *testing.T) {
	codec := fec.NewCodec()
	rapid.Check(t, func(rt *rapid.T) {
		k := rapid.IntRange(1, 150).Draw(rt, "k")
		m := fec.Protection{DesignLoss: rapid.SampledFrom([]float64{0, 0.01, 0.05}).Draw(rt, "loss")}.Small(k)
		s := fec.Shape{Data: k, Parity: m, ShardBytes: 64 * rapid.IntRange(1, 3).Draw(rt, "units")}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		shards := block(rng, s)
		if err := codec.Encode(s.Code(), s, shards); err != nil {
			rt.Fatal(err)
		}
		want := bytes.Join(shards[:k], nil)
		lost := rapid.IntRange(0, min(m+2, k+m)).Draw(rt, "lost")
		for _, i := range rng.Perm(k + m)[:lost] {
			shards[i] = make([]byte, 0, s.ShardBytes)
		}
		err := codec.Reconstruct(s.Code(), s, shards)
		if lost > m {
			if err == nil && !bytes.Equal(bytes.Join(shards[:k], nil), want) {
				rt.Fatal("data invented")
			}
			return
		}
		if err != nil || !bytes.Equal(bytes.Join(shards[:k], nil), want) {
			rt.Fatalf("%+v, %d lost: %v", s, lost, err)
		}
	})
}

func block(rng *rand.Rand, s fec.Shape) [][]byte {
	shards := make([][]byte, s.Data+s.Parity)
	for i := range shards {
		shards[i] = make([]byte, s.ShardBytes)
		for j := range shards[i] {
			shards[i][j] = byte(rng.Uint32())
		}
	}
	return shards
}

func BenchmarkEncode(b *testing.B) {
	for _, s := range []fec.Shape{{Data: 8, Parity: 6, ShardBytes: 1408}, {Data: 192, Parity: 32, ShardBytes: 1408}, {Data: 192, Parity: 32, ShardBytes: 8896}} {
		b.Run(fmt.Sprintf("%d+%d of %d", s.Data, s.Parity, s.ShardBytes), func(b *testing.B) {
			shards := block(rand.New(rand.NewPCG(1, 1)), s)
			codec := fec.NewCodec()
			b.SetBytes(int64(s.Data * s.ShardBytes))
			b.ReportAllocs()
			for b.Loop() {
				if err := codec.Encode(s.Code(), s, shards); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
