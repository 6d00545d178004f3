package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The log, in bytes: docs/formats/gap-ledger.md.
const (
	logMagic       = "SDGL"
	logVersion     = 1
	logHeaderBytes = 12 // magic, version, zeros, CRC-32C

	frameMagic       = "SG"
	frameHeaderBytes = 18 // magic, length, own offset, CRC-32C
	// frameBytes is about how much goes into one frame; more when a single
	// event is larger.
	frameBytes = 64 << 10
	// maxFrameBytes bounds the events of a frame when it is read: what may wait
	// for Sync, or one declaration with all ranges that MaxRanges allows.
	maxFrameBytes = 2 << 20
)

// ErrVersion says that the log was written by a version that this one does not know.
var ErrVersion = errors.New("written by another version")

func checksum(parts ...[]byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	sum := uint32(0)
	for _, p := range parts {
		sum = crc32.Update(sum, table, p)
	}
	return sum
}

func appendLogHeader(b []byte) []byte {
	start := len(b)
	b = append(append(b, logMagic...), logVersion, 0, 0, 0)
	return binary.BigEndian.AppendUint32(b, checksum(b[start:]))
}

// appendFrame wraps events into the frame that stands at offset off of the log.
// A frame is valid as a whole or not at all.
func appendFrame(b, events []byte, off int64) []byte {
	start := len(b)
	b = append(b, frameMagic...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(events)))
	b = binary.BigEndian.AppendUint64(b, uint64(off))
	b = binary.BigEndian.AppendUint32(b, checksum(b[start:], events))
	return append(b, events...)
}

// frameAt returns the events of the frame at offset off and its whole size.
func frameAt(log []byte, off int) (events []byte, size int, ok bool) {
	b := log[off:]
	if len(b) < frameHeaderBytes || string(b[:2]) != frameMagic || binary.BigEndian.Uint64(b[6:]) != uint64(off) {
		return nil, 0, false
	}
	n := uint64(binary.BigEndian.Uint32(b[2:]))
	if n > maxFrameBytes || frameHeaderBytes+n > uint64(len(b)) {
		return nil, 0, false
	}
	events = b[frameHeaderBytes : frameHeaderBytes+n]
	if binary.BigEndian.Uint32(b[14:]) != checksum(b[:14], events) {
		return nil, 0, false
	}
	return events, frameHeaderBytes + len(events), true
}

// outcome is what was found in a log.
type outcome struct {
	end     int64 // where the next frame belongs
	torn    int64 // bytes behind it that a crash left
	damaged int64 // bytes in the middle that cannot be read
}

// replay applies a log to a state. A frame is begun only when the one before is
// on disk: so what is not a frame at the end was never acknowledged, and what is
// not a frame with one behind it is damage.
func replay(log []byte, s *state) (outcome, error) {
	var out outcome
	off := logHeaderBytes
	header := log[:min(len(log), logHeaderBytes)]
	switch {
	case len(header) == logHeaderBytes && string(header) == string(appendLogHeader(nil)):
	case len(header) == logHeaderBytes && string(header[:4]) == logMagic && binary.BigEndian.Uint32(header[8:]) == checksum(header[:8]):
		return out, fmt.Errorf("%w: version %d", ErrVersion, header[4])
	default:
		off = min(len(log), logHeaderBytes)
		out.damaged = int64(off)
	}
	for off < len(log) {
		events, size, ok := frameAt(log, off)
		if !ok {
			next := nextFrame(log, off+1)
			if next < 0 {
				break
			}
			out.damaged += int64(next - off)
			off = next
			continue
		}
		if err := applyAll(events, s); err != nil {
			return out, fmt.Errorf("offset %d: %w", off, err)
		}
		off += size
	}
	out.end, out.torn = int64(off), int64(len(log)-off)
	return out, nil
}

// nextFrame finds the first valid frame from off on.
func nextFrame(log []byte, off int) int {
	for ; off+frameHeaderBytes <= len(log); off++ {
		if _, _, ok := frameAt(log, off); ok {
			return off
		}
	}
	return -1
}

func applyAll(events []byte, s *state) error {
	c := &cursor{b: events}
	for len(c.b) > 0 {
		ev, err := readEvent(c)
		if err != nil {
			return err
		}
		if err := s.apply(ev); err != nil {
			return err
		}
	}
	return nil
}
