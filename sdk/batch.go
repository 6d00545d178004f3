package sdk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"
)

// Limits of the batch format. Ours, from measurements: 64 to 256 KiB per message is where a gRPC stream of opaque
// batches is fastest, and 1 MiB keeps one message well below what either side must buffer.
const (
	MaxBatchBytes  = 1 << 20                // encoded, header included
	MaxBodyBytes   = 4 << 20                // body after decompression
	MaxRecordBytes = MaxBatchBytes - 64<<10 // one payload
	batchVersion   = 1
	fixedHeader    = 45 // bytes before the receiver's name
	flagZstd       = 1 << 0
	minRecordBytes = 4 // connection index, time, kind, payload length; the count of connections takes one byte more
	kindMask       = 0x7f
	eventBit       = 0x80
)

// ErrBatch is wrapped by every error about malformed batch bytes.
var ErrBatch = errors.New("batch: malformed")

// Header is the part of a batch that the core reads. It never reads further.
//
//	 0  2  magic "SB"
//	 2  1  version (1)
//	 3  1  flags: bit 0 = body compressed with zstd
//	 4 16  stream id
//	20  8  first sequence, little endian like all that follows
//	28  4  number of records
//	32  8  time base, Unix nanoseconds
//	40  4  body length before compression, bytes
//	44  1  length of the receiver's name, 1 to 255
//	45  …  receiver's name, for example "udp.kics-agents"; then the body (see docs/formats/batch.md)
type Header struct {
	Stream    StreamID
	First     uint64 // sequence of the first record
	Count     uint32 // records
	Base      time.Time
	BodyBytes uint32 // before compression
	Zstd      bool
	Receiver  string
}

// ParseHeader reads the header of an encoded batch and returns the body that follows it, which aliases raw.
func ParseHeader(raw []byte) (Header, []byte, error) {
	if len(raw) < fixedHeader+1 {
		return Header{}, nil, fmt.Errorf("%w: %d bytes, a header has at least %d", ErrBatch, len(raw), fixedHeader+1)
	}
	if len(raw) > MaxBatchBytes {
		return Header{}, nil, fmt.Errorf("%w: %d bytes, the limit is %d", ErrBatch, len(raw), MaxBatchBytes)
	}
	if raw[0] != 'S' || raw[1] != 'B' {
		return Header{}, nil, fmt.Errorf("%w: magic %x", ErrBatch, raw[:2])
	}
	if raw[2] != batchVersion {
		return Header{}, nil, fmt.Errorf("%w: version %d, this program reads version %d", ErrBatch, raw[2], batchVersion)
	}
	if raw[3]&^flagZstd != 0 {
		return Header{}, nil, fmt.Errorf("%w: unknown flags %#x", ErrBatch, raw[3])
	}
	h := Header{
		First:     binary.LittleEndian.Uint64(raw[20:]),
		Count:     binary.LittleEndian.Uint32(raw[28:]),
		Base:      time.Unix(0, int64(binary.LittleEndian.Uint64(raw[32:]))),
		BodyBytes: binary.LittleEndian.Uint32(raw[40:]),
		Zstd:      raw[3]&flagZstd != 0,
	}
	copy(h.Stream[:], raw[4:20])
	end := fixedHeader + int(raw[44])
	if raw[44] == 0 || end > len(raw) {
		return Header{}, nil, fmt.Errorf("%w: receiver name of %d bytes in %d", ErrBatch, raw[44], len(raw)-fixedHeader)
	}
	h.Receiver = string(raw[fixedHeader:end])
	return h, raw[end:], h.check(len(raw) - end)
}

func (h Header) check(body int) error {
	switch {
	case h.Count == 0:
		return fmt.Errorf("%w: no records", ErrBatch)
	case h.First == 0 || h.First > math.MaxUint64-uint64(h.Count):
		return fmt.Errorf("%w: first sequence %d with %d records", ErrBatch, h.First, h.Count)
	case h.BodyBytes > MaxBodyBytes:
		return fmt.Errorf("%w: body of %d bytes, the limit is %d", ErrBatch, h.BodyBytes, MaxBodyBytes)
	case uint64(h.Count)*minRecordBytes+1 > uint64(h.BodyBytes):
		return fmt.Errorf("%w: %d records in a body of %d bytes", ErrBatch, h.Count, h.BodyBytes)
	case !h.Zstd && int(h.BodyBytes) != body:
		return fmt.Errorf("%w: body of %d bytes announced, %d present", ErrBatch, h.BodyBytes, body)
	}
	return nil
}

// appendHeader appends the encoded header. The receiver's name has been checked to be 1 to 255 bytes.
func appendHeader(dst []byte, h Header) []byte {
	var fixed [fixedHeader]byte
	copy(fixed[:], "SB")
	fixed[2] = batchVersion
	if h.Zstd {
		fixed[3] = flagZstd
	}
	copy(fixed[4:20], h.Stream[:])
	binary.LittleEndian.PutUint64(fixed[20:], h.First)
	binary.LittleEndian.PutUint32(fixed[28:], h.Count)
	binary.LittleEndian.PutUint64(fixed[32:], uint64(h.Base.UnixNano()))
	binary.LittleEndian.PutUint32(fixed[40:], h.BodyBytes)
	fixed[44] = byte(len(h.Receiver))
	return append(append(dst, fixed[:]...), h.Receiver...)
}
