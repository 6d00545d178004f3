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
		if int(first) >= st.bulk.Data*st.bulk.ShardBytes {
			first = frame.NoBatch
		}
	}
	st.block = st.takeBlock()
	st.block.open(st.next, first, now)
	st.next++
}

// emitOpen sends the data shards that are whole while their block is open.
func (st *stream) emitOpen(ctx context.Context) error {
	b, size := st.block, st.bulk.ShardBytes
	for ; (b.emitted+1)*size <= b.fill; b.emitted++ {
		h := b.header(b.emitted, size)
		if err := st.emit(ctx, st.class, &h, b.buf[b.emitted*size:(b.emitted+1)*size]); err != nil {
			return err
		}
	}
	return nil
}

// closeFull closes a block that is full of data.
func (st *stream) closeFull(ctx context.Context, now time.Time) error {
	b := st.block
	st.block = nil
	st.stats.blocks.Add(1)
	if err := b.close(st.codec, st.bulk, 0); err != nil {
		return err
	}
	if st.cfg.Interleave > 1 {
		return st.inter.add(ctx, st, b, now)
	}
	err := st.emitRange(ctx, b, b.emitted, b.total())
	st.giveBlock(b)
	return err
}

// closeByTimer closes the open block with the data it has. Its data leaves at
// once; the parity of small blocks is spread against bursts.
func (st *stream) closeByTimer(ctx context.Context, now time.Time) error {
	if err := st.inter.flush(ctx, st); err != nil {
		return err
	}
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
		err := st.emitRange(ctx, b, b.emitted, b.total())
		st.giveBlock(b)
		return err
	}
	if err := st.emitRange(ctx, b, b.emitted, shape.Data); err != nil {
		return err
	}
	return st.spread.add(ctx, st, b, now)
}

// smallShape fits the shape to the data; a block of one short shard shrinks to
// what it holds, unless that shard has left already.
func (st *stream) smallShape(b *block) fec.Shape {
	size := st.bulk.ShardBytes
	if b.fill <= size && b.emitted == 0 {
		units := (b.fill + frame.ShardUnit - 1) / frame.ShardUnit
		return fec.Shape{Data: 1, Parity: st.own.protection().Small(1), ShardBytes: units * frame.ShardUnit}
	}
	k := (b.fill + size - 1) / size
	return fec.Shape{Data: k, Parity: st.own.protection().Small(k), ShardBytes: size}
}

// emitRange sends the shards from (including) to to (excluding) of a closed
// block.
func (st *stream) emitRange(ctx context.Context, b *block, from, to int) error {
	for i := from; i < to; i++ {
		h := b.header(i, b.shape.ShardBytes)
		if err := st.emit(ctx, st.class, &h, b.shards[i]); err != nil {
			return err
		}
	}
	return nil
}
