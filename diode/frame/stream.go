package frame

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/sluice-gateway/sluice/diode"
)

// The data of a class's blocks is one stream of bytes: each block begins with
// a block header, then batches follow each other, each behind a batch header,
// across the ends of blocks. A zero byte where a batch header should begin
// says that the rest of the block is padding.
const (
	BlockHeaderBytes = 4          // bytes
	BatchHeaderBytes = 60         // bytes
	NoBatch          = 0xFFFFFFFF // block header: no batch begins in this block

	batchMarker = 0xB7 // not zero, so that padding cannot be taken for a batch
)

// Flags of a batch header.
const (
	FlagRepeat       = 1 // this is a repeat or a rewind, not the batch's first time on the wire
	FlagCopiesFollow = 2 // further copies of this batch's series may follow: by configuration, or over another link
	FlagResend       = 4 // sent again because an operator asked for it

	allFlags = FlagRepeat | FlagCopiesFollow | FlagResend
)

// PutBlockHeader writes the offset, from the start of the block, of the first
// batch header in it, or NoBatch.
func PutBlockHeader(b []byte, first uint32) { binary.BigEndian.PutUint32(b, first) }

// BlockStart reads what PutBlockHeader wrote. b holds at least
// BlockHeaderBytes.
func BlockStart(b []byte) uint32 { return binary.BigEndian.Uint32(b) }

// BatchHeader stands before each batch in the block stream.
type BatchHeader struct {
	Flags     uint8
	Length    uint32 // bytes of data, at most diode.MaxBatchBytes
	Seq       uint64
	SumBefore uint64
	Weight    uint32
	Digest    uint64 // Digest of the data
	Epoch     [16]byte
	Time      int64 // when the near side took it in, Unix nanoseconds; 0 = not known
}

// Put writes the header into the first BatchHeaderBytes of b.
func (h *BatchHeader) Put(b []byte) {
	_ = b[BatchHeaderBytes-1]
	b[0], b[1], b[2], b[3] = batchMarker, h.Flags, 0, 0
	binary.BigEndian.PutUint32(b[4:], h.Length)
	binary.BigEndian.PutUint64(b[8:], h.Seq)
	binary.BigEndian.PutUint64(b[16:], h.SumBefore)
	binary.BigEndian.PutUint32(b[24:], h.Weight)
	binary.BigEndian.PutUint64(b[28:], h.Digest)
	copy(b[36:52], h.Epoch[:])
	binary.BigEndian.PutUint64(b[52:], uint64(h.Time))
}

// Parse reads a batch header from b, which holds at least BatchHeaderBytes.
func (h *BatchHeader) Parse(b []byte) error {
	if len(b) < BatchHeaderBytes || b[0] != batchMarker || b[2] != 0 || b[3] != 0 {
		return fmt.Errorf("%w: not a batch header", ErrBody)
	}
	h.Flags = b[1]
	h.Length = binary.BigEndian.Uint32(b[4:])
	h.Seq = binary.BigEndian.Uint64(b[8:])
	h.SumBefore = binary.BigEndian.Uint64(b[16:])
	h.Weight = binary.BigEndian.Uint32(b[24:])
	h.Digest = binary.BigEndian.Uint64(b[28:])
	copy(h.Epoch[:], b[36:52])
	h.Time = int64(binary.BigEndian.Uint64(b[52:]))
	if h.Length > diode.MaxBatchBytes || h.Seq == 0 || h.Flags&^allFlags != 0 {
		return fmt.Errorf("%w: batch %d of %d bytes, flags %d", ErrBody, h.Seq, h.Length, h.Flags)
	}
	return nil
}

// Digester computes digests. Make it once; it is safe for concurrent use.
type Digester struct{ castagnoli *crc32.Table }

// NewDigester returns a digester.
func NewDigester() *Digester {
	return &Digester{castagnoli: crc32.MakeTable(crc32.Castagnoli)}
}

// Digest is CRC-32C above CRC-32 (IEEE): 64 bits that tell two different
// batches of one sequence apart. Both run at memory speed in hardware.
// Integrity against an attacker is the frame's tag.
func (d *Digester) Digest(b []byte) uint64 {
	return uint64(crc32.Checksum(b, d.castagnoli))<<32 | uint64(crc32.ChecksumIEEE(b))
}
