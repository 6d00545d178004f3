package send

import (
	"time"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// block is one block on its way: data bytes as they come, then their parity.
type block struct {
	number  uint64
	buf     []byte // fec.MaxShards shards
	fill    int    // data bytes so far
	emitted int    // shards that have left
	opened  time.Time
	starts  [fec.MaxShards]uint16 // per data shard, frame.NoStart where no batch begins

	// Known when closed.
	shape  fec.Shape
	code   frame.Code
	flags  uint8
	shards [fec.MaxShards][]byte
}

func newBlock(shardBytes int) *block {
	return &block{buf: make([]byte, fec.MaxShards*shardBytes)}
}

// open makes the block ready for data, of which the first begins of a batch
// stands at offset first, or frame.NoBatch.
func (b *block) open(number uint64, first uint32, now time.Time) {
	b.number, b.fill, b.emitted, b.opened = number, frame.BlockHeaderBytes, 0, now
	b.code, b.flags, b.shape = frame.CodeOpen, 0, fec.Shape{}
	for i := range b.starts {
		b.starts[i] = frame.NoStart
	}
	frame.PutBlockHeader(b.buf, first)
}

// begin notes that a batch header starts at the next byte.
func (b *block) begin(shardBytes int) {
	i := b.fill / shardBytes
	if b.starts[i] == frame.NoStart {
		b.starts[i] = uint16(b.fill % shardBytes)
	}
}

// put copies as much of p as fits below limit bytes and returns how much.
func (b *block) put(p []byte, limit int) int {
	n := copy(b.buf[b.fill:limit], p)
	b.fill += n
	return n
}

// close pads the block to its shape and computes the parity. After that the
// shards are views of the buffer.
func (b *block) close(codec *fec.Codec, shape fec.Shape, flags uint8) error {
	data := shape.Data * shape.ShardBytes
	clear(b.buf[b.fill:data])
	for i := range shape.Data + shape.Parity {
		b.shards[i] = b.buf[i*shape.ShardBytes : (i+1)*shape.ShardBytes]
	}
	b.shape, b.code, b.flags = shape, shape.Code(), flags
	return codec.Encode(b.code, shape, b.shards[:shape.Data+shape.Parity])
}

// total is the number of shards of a closed block.
func (b *block) total() int { return b.shape.Data + b.shape.Parity }

// header describes shard i.
func (b *block) header(i, shardBytes int) frame.Header {
	h := frame.Header{
		Kind:  frame.KindShard,
		Block: b.number,
		Code:  b.code,
		Flags: b.flags,
		Index: uint8(i),
		Shard: uint16(shardBytes),
		Start: frame.NoStart,
	}
	if b.code != frame.CodeOpen {
		h.K, h.M = uint8(b.shape.Data), uint8(b.shape.Parity)
	}
	if b.code == frame.CodeOpen || i < b.shape.Data {
		h.Start = b.starts[i]
	}
	return h
}
