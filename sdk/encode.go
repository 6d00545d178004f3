package sdk

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Bounds of what a record costs beyond its payload, bytes (ours; a certificate's identity is far below).
const (
	// MaxConnectionBytes bounds a Connection: endpoint, interface and zone of the address together.
	MaxConnectionBytes = 2048
	// recordOverhead is the most that a record takes beyond its payload: connection index and payload length (3 and 4
	// bytes, as both are below 2^21), kind, and two times.
	recordOverhead = 3 + 4 + 1 + 2*binary.MaxVarintLen64
	// connectionOverhead is the most that a connection takes beyond its strings: three lengths, address and port.
	connectionOverhead = 3*2 + 16 + 2
	// batchSlack is what a batch may take beyond WriterOptions.BatchBytes: header, count of connections, and the blocks'
	// headers when zstd finds nothing to compress.
	batchSlack = 1024
)

// builder gathers records of one batch. It is not safe for concurrent use; Writer guards it.
//
// The table of connections is only complete when the batch is, so the two parts of the body grow side by side and are
// joined once, in seal.
type builder struct {
	index   map[Connection]uint64
	newest  Connection // of the record before: most records come from the connection of the one before
	newestI uint64
	conns   []byte // encoded table entries
	recs    []byte // encoded records
	body    []byte // scratch of seal, only when compressing
	count   uint32
	base    int64 // Unix nanoseconds
	last    int64
}

func newBuilder(bytes int) *builder {
	return &builder{index: make(map[Connection]uint64), recs: make([]byte, 0, bytes)}
}

func (b *builder) reset() {
	clear(b.index)
	b.conns, b.recs, b.count = b.conns[:0], b.recs[:0], 0
}

// fits says whether a record of a connection can be added to a body of at most limit bytes.
func (b *builder) fits(c *Connection, payload, limit int) bool {
	if len(b.index) == maxConnections {
		return false
	}
	size := binary.MaxVarintLen64 + len(b.conns) + len(b.recs)
	return size+payload+recordOverhead+connectionBytes(c)+connectionOverhead <= limit
}

// check refuses what the format cannot carry.
func check(c *Connection, r *Record) error {
	switch {
	case len(r.Payload) > MaxRecordBytes:
		return &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("record of %d bytes, the limit is %d", len(r.Payload), MaxRecordBytes)}
	case connectionBytes(c) > MaxConnectionBytes:
		return &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("endpoint and interface of %d bytes, the limit is %d", connectionBytes(c), MaxConnectionBytes)}
	case byte(r.Kind)&^kindMask != 0:
		return &Error{Code: CodeInternal, Detail: fmt.Sprintf("record of kind %d, the limit is %d", r.Kind, kindMask)}
	}
	return nil
}

func connectionBytes(c *Connection) int {
	return len(c.Endpoint) + len(c.Interface) + len(c.Remote.Addr().Zone())
}

// add appends a record that check has passed.
func (b *builder) add(c *Connection, r *Record) {
	received := r.Received.UnixNano() // not Sub: that would use the monotonic clock
	if r.Received.IsZero() {
		received = time.Now().UnixNano()
	}
	if b.count == 0 {
		b.base, b.last = received, received
	}
	b.recs = binary.AppendUvarint(b.recs, b.connection(c))
	b.recs = binary.AppendVarint(b.recs, received-b.last)
	b.last = received
	if known(r.Event) {
		b.recs = append(b.recs, byte(r.Kind)|eventBit)
		b.recs = binary.AppendVarint(b.recs, r.Event.UnixNano()-received)
	} else {
		b.recs = append(b.recs, byte(r.Kind))
	}
	b.recs = binary.AppendUvarint(b.recs, uint64(len(r.Payload)))
	b.recs = append(b.recs, r.Payload...)
	b.count++
}

// The years whose times fit 64 bits of Unix nanoseconds.
const firstYear, lastYear = 1678, 2261

// known says whether an endpoint's time can be carried. An unset or absurd one is left out: it must not be altered.
func known(t time.Time) bool {
	return !t.IsZero() && t.Year() >= firstYear && t.Year() <= lastYear
}

func (b *builder) connection(c *Connection) uint64 {
	if len(b.index) > 0 && *c == b.newest {
		return b.newestI
	}
	i, ok := b.index[*c]
	if !ok {
		i = uint64(len(b.index))
		b.index[*c] = i
		b.conns = appendConnection(b.conns, c)
	}
	b.newest, b.newestI = *c, i
	return i
}

func appendConnection(dst []byte, c *Connection) []byte {
	dst = append(binary.AppendUvarint(dst, uint64(len(c.Endpoint))), c.Endpoint...)
	remote, _ := c.Remote.MarshalBinary() // cannot fail, see net/netip
	dst = append(binary.AppendUvarint(dst, uint64(len(remote))), remote...)
	return append(binary.AppendUvarint(dst, uint64(len(c.Interface))), c.Interface...)
}

// seal appends the whole batch to dst. enc is nil for an uncompressed body.
func (b *builder) seal(dst []byte, h Header, enc *zstd.Encoder) []byte {
	h.Count, h.Base = b.count, time.Unix(0, b.base)
	var table [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(table[:], uint64(len(b.index)))
	h.BodyBytes = uint32(n + len(b.conns) + len(b.recs))
	h.Zstd = enc != nil
	dst = appendHeader(dst, h)
	if enc == nil {
		return append(append(append(dst, table[:n]...), b.conns...), b.recs...)
	}
	b.body = append(append(append(b.body[:0], table[:n]...), b.conns...), b.recs...)
	return enc.EncodeAll(b.body, dst)
}

// Encode appends one batch of records, each with its own Connection, to dst. Stream, First and Receiver of the header
// are used, and Zstd says whether to compress; the rest follows from the records. It is for tests and tools: a receiver
// uses a Writer. A batch above MaxBatchBytes is an error of CodeTooLarge.
func Encode(dst []byte, h Header, recs []Record) ([]byte, error) {
	if h.Receiver == "" || len(h.Receiver) > math.MaxUint8 {
		return dst, fmt.Errorf("batch: receiver name of %d bytes, 1 to 255 are allowed", len(h.Receiver))
	}
	if len(recs) == 0 || h.First == 0 || h.First > math.MaxUint64-uint64(len(recs)) {
		return dst, fmt.Errorf("batch: %d records from sequence %d", len(recs), h.First)
	}
	b := newBuilder(0)
	for i := range recs {
		r := &recs[i]
		if err := check(&r.Connection, r); err != nil {
			return dst, fmt.Errorf("batch: record %d: %w", i, err)
		}
		if !b.fits(&r.Connection, len(r.Payload), MaxBatchBytes-batchSlack) {
			return dst, &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("batch of more than %d bytes", MaxBatchBytes)}
		}
		b.add(&r.Connection, r)
	}
	enc, err := newEncoder(h.Zstd)
	if err != nil {
		return dst, err
	}
	return b.seal(dst, h, enc), nil
}

func newEncoder(compress bool) (*zstd.Encoder, error) {
	if !compress {
		return nil, nil //nolint:nilnil // no compression is a choice, not an error
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, fmt.Errorf("batch: zstd: %w", err)
	}
	return enc, nil
}
