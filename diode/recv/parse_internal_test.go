package recv

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/diode/frame"
)

// stream builds the data shards of consecutive blocks holding these batches.
type shardsOf struct {
	shards [][]byte
	starts []uint16
}

// build cuts batches of the given sizes into blocks of k shards of 64 bytes.
func build(k int, sizes ...int) shardsOf {
	var s shardsOf
	var bytesOut []byte
	var starts []int
	d := frame.NewDigester()
	for i, size := range sizes {
		data := bytes.Repeat([]byte{byte(i + 1)}, size)
		h := frame.BatchHeader{Length: uint32(size), Seq: uint64(i + 1), Digest: d.Digest(data)}
		head := make([]byte, frame.BatchHeaderBytes)
		h.Put(head)
		starts = append(starts, len(bytesOut))
		bytesOut = append(append(bytesOut, head...), data...)
	}
	room := k*64 - frame.BlockHeaderBytes
	for off := 0; off < len(bytesOut); off += room {
		s.block(k, bytesOut[off:min(off+room, len(bytesOut))], off, starts)
	}
	return s
}

func (s *shardsOf) block(k int, part []byte, off int, starts []int) {
	b := make([]byte, k*64)
	first := uint32(frame.NoBatch)
	at := slices.Repeat([]uint16{frame.NoStart}, k)
	for _, x := range starts {
		pos := x - off + frame.BlockHeaderBytes
		if x < off || pos >= len(b) {
			continue
		}
		first = min(first, uint32(pos))
		at[pos/64] = min(at[pos/64], uint16(pos%64))
	}
	frame.PutBlockHeader(b, first)
	copy(b[frame.BlockHeaderBytes:], part)
	for i := range k {
		s.shards = append(s.shards, b[i*64:(i+1)*64])
	}
	s.starts = append(s.starts, at...)
}

func newTestParser() *parser {
	return &parser{buffers: &buffers{}, digester: frame.NewDigester(), counts: &Stats{}}
}

// parse feeds the shards but for those lost and returns the sequences found.
func (s *shardsOf) parse(p *parser, k int, lost ...int) []uint64 {
	var got []uint64
	for i, b := range s.shards {
		if slices.Contains(lost, i) {
			p.lose()
			continue
		}
		p.shard(b, i%k, s.starts[i], func(a arrival) { got = append(got, a.head.Seq) })
	}
	return got
}

// Whatever shard is lost, exactly the batches with bytes in it are.
func TestLostShardCostsOnlyItsBatches(t *testing.T) {
	sizes := []int{10, 500, 0, 64, 3, 2000, 24, 92, 1, 60, 60, 300}
	for _, k := range []int{1, 2, 4, 8} {
		s := build(k, sizes...)
		for lost := -1; lost < len(s.shards); lost++ {
			got := s.parse(newTestParser(), k, lost)
			if want := untouched(sizes, k, lost); !slices.Equal(got, want) {
				t.Fatalf("k %d, shard %d of %d lost: %v, want %v", k, lost, len(s.shards), got, want)
			}
		}
	}
}

// untouched lists the batches none of whose bytes are in the lost shard.
func untouched(sizes []int, k, lost int) []uint64 {
	var list []uint64
	pos := 0
	shardOf := func(p int) int {
		room := k*64 - frame.BlockHeaderBytes
		return p/room*k + (p%room+frame.BlockHeaderBytes)/64
	}
	for i, size := range sizes {
		from, to := shardOf(pos), shardOf(pos+frame.BatchHeaderBytes+size-1)
		if lost < from || lost > to {
			list = append(list, uint64(i+1))
		}
		pos += frame.BatchHeaderBytes + size
	}
	return list
}

func FuzzBlockStream(f *testing.F) {
	s := build(4, 10, 300, 0, 1000)
	f.Add(bytes.Join(s.shards, nil), uint16(4), uint8(0))
	f.Add([]byte{}, uint16(0), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, start uint16, lose uint8) {
		p := newTestParser()
		for i := 0; len(b) >= 64; i++ {
			if lose != 0 && i%int(lose) == int(lose)-1 {
				p.lose()
			}
			p.shard(b[:64], i%4, start, func(a arrival) {
				if len(a.data) != int(a.head.Length) || p.digester.Digest(a.data) != a.head.Digest {
					t.Fatal(fmt.Sprint("invented ", a.head))
				}
			})
			b = b[64:]
		}
	})
}
