package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	segmentMagic     = "SLSEG001"
	segmentHeadBytes = 64
	segmentSuffix    = ".seg"
	segmentDigits    = 20 // decimal digits of 2^64-1: names sort by number
	// indexSpacing is the distance in bytes between two points of an index: a
	// lookup walks over at most this much, plus one record.
	indexSpacing = 64 << 10
)

// segment is one file of the log. base and name never change; the other fields
// are guarded by Log.mu.
type segment struct {
	base    uint64 // sequence of the first record
	name    string
	size    int64     // durable bytes, the head included
	touched time.Time // last write, or when all cursors had passed
	passed  bool      // all cursors have passed
	index   []point   // sparse, rising; may be nil
}

// point is a place in a segment where a record starts.
type point struct {
	seq uint64
	off int64
	sum uint64
}

// view is what a reader may see of a segment at one moment.
type view struct {
	seg   *segment
	end   uint64 // first sequence that is not in it
	limit int64  // bytes that may be read
}

func segmentName(base uint64) string {
	return fmt.Sprintf("%0*d%s", segmentDigits, base, segmentSuffix)
}

// parseSegmentName gives the base sequence in a file's name.
func parseSegmentName(name string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) != segmentDigits {
		return 0, false
	}
	base, err := strconv.ParseUint(digits, 10, 64)
	return base, err == nil && base > 0 && base < math.MaxUint64
}

// segmentHead stands at the start of a segment file.
type segmentHead struct {
	epoch   [16]byte
	base    uint64
	sum     uint64    // of all weights before base
	created time.Time // for people; nothing depends on it
}

func (h segmentHead) encode() []byte {
	b := make([]byte, segmentHeadBytes)
	copy(b, segmentMagic)
	copy(b[8:], h.epoch[:])
	binary.LittleEndian.PutUint64(b[24:], h.base)
	binary.LittleEndian.PutUint64(b[32:], h.sum)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.created.UnixNano())) // #nosec G115 -- bit pattern, read back the same way
	binary.LittleEndian.PutUint32(b[60:], crc32c(0, b[:60]))
	return b
}

var errSegmentHead = errors.New("no valid segment head")

func decodeSegmentHead(b []byte) (segmentHead, error) {
	if len(b) < segmentHeadBytes || string(b[:8]) != segmentMagic {
		return segmentHead{}, errSegmentHead
	}
	if binary.LittleEndian.Uint32(b[60:]) != crc32c(0, b[:60]) {
		return segmentHead{}, fmt.Errorf("segment head: %w", errChecksum)
	}
	h := segmentHead{
		base:    binary.LittleEndian.Uint64(b[24:]),
		sum:     binary.LittleEndian.Uint64(b[32:]),
		created: time.Unix(0, int64(binary.LittleEndian.Uint64(b[40:]))), // #nosec G115 -- bit pattern
	}
	copy(h.epoch[:], b[8:])
	return h, nil
}

// readSegmentHead reads the head of an open segment whose name says base.
func readSegmentHead(f io.ReaderAt, base uint64) (segmentHead, error) {
	var b [segmentHeadBytes]byte
	if n, err := f.ReadAt(b[:], 0); n < len(b) && !errors.Is(err, io.EOF) {
		return segmentHead{}, fmt.Errorf("segment %d: %w", base, err)
	}
	h, err := decodeSegmentHead(b[:])
	if err != nil {
		return segmentHead{}, fmt.Errorf("segment %d: %w", base, err)
	}
	if h.base != base {
		return segmentHead{}, fmt.Errorf("segment %d: head says %d: %w", base, h.base, errSegmentHead)
	}
	return h, nil
}
