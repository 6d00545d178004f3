package spool

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A record is a header of recordHeadBytes and the entry's bytes. All numbers are
// little endian; docs/formats/spool.md draws it.
const (
	recordMagic     = 0x31525053 // "SPR1": the last byte is the version
	recordHeadBytes = 36
)

// magicBytes is what a search for the next record looks for.
func magicBytes() [4]byte { return [4]byte{'S', 'P', 'R', '1'} }

// header describes one record.
type header struct {
	length  uint32 // bytes of data after the header
	dataCRC uint32 // CRC32C of the data
	seq     uint64
	weight  uint32
	sum     uint64 // of all weights before this record
}

func (h header) recordBytes() int64 { return recordHeadBytes + int64(h.length) }

func (h header) sumAfter() uint64 { return h.sum + uint64(h.weight) }

// castagnoli is the CRC32C table; the standard library makes it once.
func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func crc32c(crc uint32, p []byte) uint32 { return crc32.Update(crc, castagnoli(), p) }

// headerSeed starts the header checksums of one segment. It depends on the
// epoch, which endpoints do not know, so that bytes inside somebody's payload
// are not taken for a record when a search runs over damaged data.
func headerSeed(epoch [16]byte, base uint64) uint32 {
	var b [24]byte
	copy(b[:], epoch[:])
	binary.LittleEndian.PutUint64(b[16:], base)
	return crc32c(0, b[:])
}

// encode writes the header into dst[:recordHeadBytes].
func (h header) encode(dst []byte, seed uint32) {
	_ = dst[recordHeadBytes-1]
	binary.LittleEndian.PutUint32(dst[0:], recordMagic)
	binary.LittleEndian.PutUint32(dst[4:], h.length)
	binary.LittleEndian.PutUint32(dst[8:], h.dataCRC)
	binary.LittleEndian.PutUint64(dst[12:], h.seq)
	binary.LittleEndian.PutUint32(dst[20:], h.weight)
	binary.LittleEndian.PutUint64(dst[24:], h.sum)
	binary.LittleEndian.PutUint32(dst[32:], crc32c(seed, dst[:32]))
}

// decodeHeader reads a header from the first recordHeadBytes of src.
func decodeHeader(src []byte, seed uint32) (header, error) {
	if len(src) < recordHeadBytes {
		return header{}, fmt.Errorf("%d of %d header bytes: %w", len(src), recordHeadBytes, errNoRecord)
	}
	if binary.LittleEndian.Uint32(src) != recordMagic {
		return header{}, errNoRecord
	}
	if binary.LittleEndian.Uint32(src[32:]) != crc32c(seed, src[:32]) {
		return header{}, fmt.Errorf("record header: %w", errChecksum)
	}
	h := header{
		length:  binary.LittleEndian.Uint32(src[4:]),
		dataCRC: binary.LittleEndian.Uint32(src[8:]),
		seq:     binary.LittleEndian.Uint64(src[12:]),
		weight:  binary.LittleEndian.Uint32(src[20:]),
		sum:     binary.LittleEndian.Uint64(src[24:]),
	}
	if h.length > maxEntryBytes || h.seq == 0 {
		return header{}, fmt.Errorf("record of %d bytes, sequence %d: %w", h.length, h.seq, errNoRecord)
	}
	return h, nil
}
