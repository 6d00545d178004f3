package send

import (
	"context"
	"time"

	"github.com/sluice-gateway/sluice/diode/fec"
	"github.com/sluice-gateway/sluice/diode/frame"
)

func (st *stream) openBlock(now time.Time) {
	first := uint32(frame.BlockHeaderBytes)
	if st.cur.off > 0 {
		first += uint32(st.cur.size() - st.cur.off)
		if int(first) >= st.bulk.Data*st.shard {
			first = frame.NoBatch
		}
	}
	st.block = st.takeBlock()
	st.block.open(st.next, first, now)
	st.next++
}

// emitOpen sends the data shards that are whole while their block is open, and
// returns what they take on the wire.
func (st *stream) emitOpen(ctx context.Context) (cost int, err error) {
	b, size := st.block, st.shard
	for ; (b.emitted+1)*size <= b.fill; b.emitted++ {
		h := b.header(b.emitted, size)
		h.Class = uint8(st.class)
		if err := st.emit(ctx, &h, b.buf[b.emitted*size:(b.emitted+1)*size]); err != nil {
			return cost, err
		}
		cost += st.frameCost(size)
	}
	return cost, nil
}

// frameCost is what a frame with a shard of so many bytes takes on the wire.
func (s *Sender) frameCost(shard int) int { return frame.Overhead + shard + s.tx.pace.perUDP }

// closeFull closes a block that is full of data.
func (st *stream) closeFull(now time.Time) error {
	b := st.block
	st.block = nil
	st.stats.blocks.Add(1)
	if err := b.close(st.codec, st.bulk, 0); err != nil {
		return err
	}
	if st.cfg.Interleave > 1 {
		st.inter.add(st, b, now)
		return nil
	}
	st.out.add(b, b.emitted, b.total(), true)
	return nil
}

// closeByTimer closes the open block with the data it has. Its data leaves at
// once; the parity of small blocks is spread against bursts.
func (st *stream) closeByTimer(now time.Time) error {
	st.inter.flush(st)
	b := st.block
	st.block = nil
	st.stats.blocks.Add(1)
	shape := st.smallShape(b)
	flags := uint8(0)
	if shape.Data <= fec.ClassicMax {
		flags = frame.FlagSpread
	}
	if err := b.close(st.codec, shape, flags); err != nil {
		return err
	}
	if flags == 0 {
		st.out.add(b, b.emitted, b.total(), true)
		return nil
	}
	st.out.add(b, b.emitted, shape.Data, false)
	st.spread.add(st, b, now)
	return nil
}

// smallShape fits the shape to the data; a block of one short shard shrinks to
// what it holds, unless that shard has left already.
func (st *stream) smallShape(b *block) fec.Shape {
	size := st.shard
	if b.fill <= size && b.emitted == 0 {
		units := (b.fill + frame.ShardUnit - 1) / frame.ShardUnit
		return fec.Shape{Data: 1, Parity: st.small(1), ShardBytes: units * frame.ShardUnit}
	}
	k := (b.fill + size - 1) / size
	return fec.Shape{Data: k, Parity: st.small(k), ShardBytes: size}
}

// small is the parity of a block of k data shards. It is worked out once for
// each k.
func (st *stream) small(k int) int {
	if st.parity[k] == 0 {
		st.parity[k] = uint8(min(st.own.protection().Small(k), 255))
	}
	return int(st.parity[k])
}

// finish closes what is open before its session ends: blocks belong to
// sessions.
func (st *stream) finish(now time.Time) error {
	if st.block != nil {
		if err := st.closeByTimer(now); err != nil {
			return err
		}
	}
	st.inter.flush(st)
	st.spread.flush(st)
	return nil
}
