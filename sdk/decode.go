package sdk

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"time"

	"github.com/klauspost/compress/zstd"
)

// maxConnections bounds the table of a hostile batch: every entry takes at least three bytes of body.
const maxConnections = 1 << 16

// Decoder reads batches. It holds buffers that are used again, so one Decoder serves one goroutine; its zero value is
// ready. Records alias these buffers or the raw batch: they are valid until the next call of Open.
type Decoder struct {
	zstd  *zstd.Decoder
	body  []byte
	conns []Connection
	rest  []byte
	head  Header
	next  uint64
	left  uint32
	last  int64 // Unix nanoseconds
}

// Open starts reading an encoded batch and returns its header.
func (d *Decoder) Open(raw []byte) (Header, error) {
	d.rest, d.left = nil, 0 // after an error there is nothing to read
	h, body, err := ParseHeader(raw)
	if err != nil {
		return Header{}, err
	}
	if h.Zstd {
		if body, err = d.inflate(body, h.BodyBytes); err != nil {
			return Header{}, err
		}
	}
	rest, err := d.table(body)
	if err != nil {
		return Header{}, err
	}
	d.head, d.next, d.left, d.last, d.rest = h, h.First, h.Count, h.Base.UnixNano(), rest
	return h, nil
}

func (d *Decoder) inflate(body []byte, size uint32) ([]byte, error) {
	if d.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxBodyBytes))
		if err != nil {
			return nil, fmt.Errorf("batch: zstd: %w", err)
		}
		d.zstd = z
	}
	out, err := d.zstd.DecodeAll(body, d.body[:0])
	if err != nil {
		return nil, fmt.Errorf("%w: zstd: %w", ErrBatch, err)
	}
	if len(out) != int(size) {
		return nil, fmt.Errorf("%w: body of %d bytes announced, %d present", ErrBatch, size, len(out))
	}
	d.body = out
	return out, nil
}

func (d *Decoder) table(body []byte) ([]byte, error) {
	n, body, err := uvarint(body, "connection count")
	if err != nil {
		return nil, err
	}
	if n > maxConnections || n > uint64(len(body)) {
		return nil, fmt.Errorf("%w: %d connections in %d bytes", ErrBatch, n, len(body))
	}
	d.conns = d.conns[:0]
	for range n {
		var c Connection
		var remote []byte
		var s []byte
		if s, body, err = bytesOf(body, "endpoint"); err != nil {
			return nil, err
		}
		c.Endpoint = string(s)
		if remote, body, err = bytesOf(body, "remote address"); err != nil {
			return nil, err
		}
		if c.Remote, err = parseRemote(remote); err != nil {
			return nil, err
		}
		if s, body, err = bytesOf(body, "interface"); err != nil {
			return nil, err
		}
		c.Interface = string(s)
		d.conns = append(d.conns, c)
	}
	return body, nil
}

func parseRemote(b []byte) (netip.AddrPort, error) {
	var a netip.AddrPort
	if len(b) == 0 {
		return a, nil
	}
	if err := a.UnmarshalBinary(b); err != nil {
		return a, fmt.Errorf("%w: remote address: %w", ErrBatch, err)
	}
	return a, nil
}

// Next reads the next record into r. It returns false at the end of the batch or with an error, after which the rest
// of the batch cannot be read.
func (d *Decoder) Next(r *Record) (bool, error) {
	if d.left == 0 {
		if len(d.rest) != 0 {
			return false, fmt.Errorf("%w: %d bytes after the last record", ErrBatch, len(d.rest))
		}
		return false, nil
	}
	conn, rest, err := uvarint(d.rest, "connection index")
	if err != nil {
		return false, err
	}
	if conn >= uint64(len(d.conns)) {
		return false, fmt.Errorf("%w: connection %d of %d", ErrBatch, conn, len(d.conns))
	}
	delta, rest, err := varint(rest, "time")
	if err != nil {
		return false, err
	}
	received := d.last + delta // wraps as the encoder's difference did
	r.Received = time.Unix(0, received)
	if rest, err = d.kind(r, rest); err != nil {
		return false, err
	}
	if r.Payload, rest, err = bytesOf(rest, "payload"); err != nil {
		return false, err
	}
	r.ID = RecordID{Stream: d.head.Stream, Sequence: d.next}
	r.Connection = d.conns[conn]
	d.rest, d.last = rest, received
	d.next++
	d.left--
	return true, nil
}

func (d *Decoder) kind(r *Record, b []byte) ([]byte, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("%w: kind is missing", ErrBatch)
	}
	r.Kind, r.Event = Kind(b[0]&kindMask), time.Time{}
	if b[0]&eventBit == 0 {
		return b[1:], nil
	}
	delta, rest, err := varint(b[1:], "event time")
	if err != nil {
		return nil, err
	}
	r.Event = time.Unix(0, r.Received.UnixNano()+delta)
	return rest, nil
}

func uvarint(b []byte, what string) (uint64, []byte, error) {
	v, n := binary.Uvarint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: %s is missing or no varint", ErrBatch, what)
	}
	return v, b[n:], nil
}

func varint(b []byte, what string) (int64, []byte, error) {
	v, n := binary.Varint(b)
	if n <= 0 {
		return 0, nil, fmt.Errorf("%w: %s is missing or no varint", ErrBatch, what)
	}
	return v, b[n:], nil
}

func bytesOf(b []byte, what string) (field, rest []byte, err error) {
	n, rest, err := uvarint(b, what)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(rest)) || n > math.MaxInt32 {
		return nil, nil, fmt.Errorf("%w: %s of %d bytes, %d left", ErrBatch, what, n, len(rest))
	}
	return rest[:n:n], rest[n:], nil
}
