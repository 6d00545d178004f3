package sdk

import (
	"encoding/binary"
	"time"

	"github.com/klauspost/compress/zstd"
)

// builder gathers records of one batch. It is not safe for concurrent use; Writer guards it.
//
// The table of connections is only complete when the batch is, so the two parts of the body grow side by side and are
// joined once, in seal.
type builder struct {
	index map[Connection]uint64
	conns []byte // encoded table entries
	recs  []byte // encoded records
	count uint32
	base  time.Time
	last  time.Time
}

func newBuilder(bytes int) *builder {
	return &builder{index: make(map[Connection]uint64), recs: make([]byte, 0, bytes)}
}

func (b *builder) reset() {
	clear(b.index)
	b.conns, b.recs, b.count = b.conns[:0], b.recs[:0], 0
}

// size is an upper bound of the body's bytes.
func (b *builder) size() int { return len(b.conns) + len(b.recs) + binary.MaxVarintLen64 }

func (b *builder) add(c Connection, r *Record) {
	if b.count == 0 {
		b.base, b.last = r.Received, r.Received
	}
	b.recs = binary.AppendUvarint(b.recs, b.connection(c))
	b.recs = binary.AppendVarint(b.recs, int64(r.Received.Sub(b.last)))
	b.last = r.Received
	if r.Event.IsZero() {
		b.recs = append(b.recs, byte(r.Kind)&kindMask)
	} else {
		b.recs = append(b.recs, byte(r.Kind)&kindMask|eventBit)
		b.recs = binary.AppendVarint(b.recs, r.Event.UnixNano()-r.Received.UnixNano())
	}
	b.recs = binary.AppendUvarint(b.recs, uint64(len(r.Payload)))
	b.recs = append(b.recs, r.Payload...)
	b.count++
}

func (b *builder) connection(c Connection) uint64 {
	if i, ok := b.index[c]; ok {
		return i
	}
	i := uint64(len(b.index))
	b.index[c] = i
	b.conns = appendString(b.conns, c.Endpoint)
	remote, _ := c.Remote.MarshalBinary() // cannot fail, see net/netip
	b.conns = appendString(b.conns, string(remote))
	b.conns = appendString(b.conns, c.Interface)
	return i
}

// seal appends the whole batch to dst. enc is nil for an uncompressed body.
func (b *builder) seal(dst []byte, h Header, enc *zstd.Encoder) []byte {
	h.Count, h.Base = b.count, b.base
	var table [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(table[:], uint64(len(b.index)))
	h.BodyBytes = uint32(n + len(b.conns) + len(b.recs)) //nolint:gosec // bounded by MaxBatchBytes
	if enc == nil {
		dst = appendHeader(dst, h)
		dst = append(append(dst, table[:n]...), b.conns...)
		return append(dst, b.recs...)
	}
	h.Zstd = true
	body := make([]byte, 0, h.BodyBytes)
	body = append(append(append(body, table[:n]...), b.conns...), b.recs...)
	return enc.EncodeAll(body, appendHeader(dst, h))
}

func appendString(dst []byte, s string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
