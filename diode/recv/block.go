package recv

import (
	"time"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// block is a block of which something has arrived.
type block struct {
	shards [fec.MaxShards][]byte
	starts [fec.MaxShards]uint16
	size   int // bytes per shard
	have   int // shards that arrived
	high   int // highest index that arrived plus one
	fed    int // data shards that the parser has taken

	code   frame.Code // open until a frame told the shape
	k, m   int
	spread bool // parity is spread over time

	first, last     uint64 // frame counters of the first and the latest arrival
	firstAt, lastAt time.Time
	silence         silence // since the latest arrival
}

// fits says whether a frame's shape does not contradict what is known.
func (b *block) fits(h *frame.Header) bool {
	if b.have > 0 && b.size != int(h.Shard) {
		return false
	}
	if h.Code == frame.CodeOpen {
		return b.code == frame.CodeOpen || int(h.Index) < b.k
	}
	if b.code != frame.CodeOpen {
		return b.code == h.Code && b.k == int(h.K) && b.m == int(h.M)
	}
	shape := fec.Shape{Data: int(h.K), Parity: int(h.M), ShardBytes: int(h.Shard)}
	return shape.Check(h.Code) == nil && b.high <= int(h.K)
}

// put places an opened shard whose header fits.
func (b *block) put(h *frame.Header, shard []byte, now time.Time) {
	if b.have == 0 {
		b.first, b.firstAt, b.size = h.Counter, now, int(h.Shard)
	}
	if h.Code != frame.CodeOpen {
		b.code, b.k, b.m = h.Code, int(h.K), int(h.M)
		b.spread = h.Flags&frame.FlagSpread != 0
	}
	i := int(h.Index)
	b.shards[i], b.starts[i] = shard, h.Start
	b.have++
	b.high = max(b.high, i+1)
	b.last, b.lastAt, b.silence = max(b.last, h.Counter), now, silence{}
}

func (b *block) closed() bool { return b.code != frame.CodeOpen }

// complete says that the parser has all data of the block.
func (b *block) complete() bool { return b.closed() && b.fed == b.k }

// repairable says that what is missing can be computed.
func (b *block) repairable() bool { return b.closed() && b.have >= b.k && b.fed < b.k }

// repair computes the missing data shards.
func (b *block) repair(codec *fec.Codec, pool *shardPool) error {
	shape := fec.Shape{Data: b.k, Parity: b.m, ShardBytes: b.size}
	var missing [fec.MaxShards]bool
	for i := range b.k {
		if b.shards[i] == nil {
			missing[i] = true
			b.shards[i], b.starts[i] = pool.get(b.size), frame.NoStart
		}
	}
	err := codec.Reconstruct(b.code, shape, b.shards[:b.k+b.m])
	for i := range b.k {
		if missing[i] && err != nil {
			pool.put(b.shards[i])
			b.shards[i] = nil
		}
	}
	return err
}

// release gives the shards back and makes the block ready for reuse.
func (b *block) release(pool *shardPool) {
	for i := range b.high {
		b.drop(i, pool)
	}
	for i := range b.k {
		b.drop(i, pool)
	}
	*b = block{}
}

func (b *block) drop(i int, pool *shardPool) {
	if b.shards[i] != nil {
		pool.put(b.shards[i])
		b.shards[i] = nil
	}
}
