package recv

import (
	"github.com/sluice-gateway/sluice/diode/frame"
)

// arrival is a batch as the block stream gave it.
type arrival struct {
	head frame.BatchHeader
	data []byte // from the receiver's buffers
}

// parser turns the data shards of one class, in order, back into batches. A
// missing shard makes it lose its place; it finds it again at the next batch
// header that a shard or block names.
type parser struct {
	place  place
	skip   int // bytes, when skipping
	head   [frame.BatchHeaderBytes]byte
	filled int // bytes of head
	h      frame.BatchHeader
	body   []byte // of the batch being filled, nil while in its header
	got    int    // bytes of body

	buffers  *buffers
	digester *frame.Digester
	counts   *Stats
}

type place uint8

const (
	placeLost     place = iota // waiting for a batch start
	placeSkipping              // the next start is skip bytes ahead
	placeBatch                 // in a batch header or batch, or between two
	placePadding               // behind the last batch of a block
)

// lose drops what was begun: bytes are missing.
func (p *parser) lose() {
	if p.body != nil {
		p.buffers.put(p.body)
		p.body = nil
	}
	p.filled, p.got, p.skip, p.place = 0, 0, 0, placeLost
}

// shard takes data shard number index of a block; start is what its frame said
// of the first batch header in it. Every batch that is complete goes to emit.
func (p *parser) shard(b []byte, index int, start uint16, emit func(arrival)) {
	if index == 0 {
		b = p.blockStart(b)
	} else if p.place == placeLost {
		if start == frame.NoStart || int(start) >= len(b) {
			return
		}
		b, p.place = b[start:], placeBatch
	}
	for len(b) > 0 {
		switch p.place {
		case placeSkipping:
			b = p.skipOver(b)
		case placeBatch:
			b = p.batch(b, emit)
		case placePadding, placeLost:
			return
		}
	}
}

// blockStart reads the block header.
func (p *parser) blockStart(b []byte) []byte {
	first := frame.BlockStart(b)
	switch p.place {
	case placePadding:
		p.place = placeBatch
	case placeBatch:
	default:
		if first == frame.NoBatch || first < frame.BlockHeaderBytes {
			p.place = placeLost
			return nil
		}
		p.place, p.skip = placeSkipping, int(first)-frame.BlockHeaderBytes
		if p.skip == 0 {
			p.place = placeBatch
		}
	}
	return b[frame.BlockHeaderBytes:]
}

func (p *parser) skipOver(b []byte) []byte {
	n := min(p.skip, len(b))
	p.skip -= n
	if p.skip == 0 {
		p.place = placeBatch
	}
	return b[n:]
}

// batch consumes bytes of one batch.
func (p *parser) batch(b []byte, emit func(arrival)) []byte {
	if p.body == nil {
		return p.header(b, emit)
	}
	n := copy(p.body[p.got:], b)
	p.got += n
	if p.got == len(p.body) {
		p.finish(emit)
	}
	return b[n:]
}

func (p *parser) header(b []byte, emit func(arrival)) []byte {
	if p.filled == 0 && b[0] == 0 {
		p.place = placePadding
		return nil
	}
	n := copy(p.head[p.filled:], b)
	p.filled += n
	if p.filled < len(p.head) {
		return b[n:]
	}
	p.filled = 0
	if err := p.h.Parse(p.head[:]); err != nil {
		p.counts.BadBatches++
		p.lose()
		return nil
	}
	p.body, p.got = p.buffers.get(int(p.h.Length)), 0
	if p.h.Length == 0 {
		p.finish(emit)
	}
	return b[n:]
}

func (p *parser) finish(emit func(arrival)) {
	a := arrival{head: p.h, data: p.body}
	p.body, p.got = nil, 0
	if p.digester.Digest(a.data) != a.head.Digest {
		p.counts.BadBatches++
		p.buffers.put(a.data)
		return
	}
	emit(a)
}
