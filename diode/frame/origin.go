package frame

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/sluice-gateway/sluice/diode"
)

// ErrBody is wrapped by every complaint about the body of an announcement, a
// heartbeat or the block stream.
var ErrBody = errors.New("frame: bad body")

// PrevEnd is where a series of the epoch before ended.
type PrevEnd struct {
	Class diode.Class
	Known bool
	Last  uint64 // last sequence
	Sum   uint64 // running sum after it
}

// Origin names the sender's epoch and the one before it. It stands in every
// announcement and heartbeat, so that a spare machine or a restored backup is
// recognised before its first batch.
type Origin struct {
	Epoch [16]byte
	Prev  [16]byte  // all zero: this is the first epoch
	Ends  []PrevEnd // at most diode.MaxClasses
}

const (
	originFixed  = 16 + 16 + 1
	prevEndBytes = 18
)

// Append appends the encoded origin to b.
func (o *Origin) Append(b []byte) []byte {
	b = append(b, o.Epoch[:]...)
	b = append(b, o.Prev[:]...)
	b = append(b, byte(len(o.Ends)))
	for _, e := range o.Ends {
		b = append(b, byte(e.Class), boolByte(e.Known))
		b = binary.BigEndian.AppendUint64(b, e.Last)
		b = binary.BigEndian.AppendUint64(b, e.Sum)
	}
	return b
}

// parseOrigin reads an origin from the start of b and returns the rest.
func parseOrigin(b []byte) (Origin, []byte, error) {
	var o Origin
	if len(b) < originFixed {
		return o, nil, fmt.Errorf("%w: origin of %d bytes", ErrBody, len(b))
	}
	copy(o.Epoch[:], b)
	copy(o.Prev[:], b[16:])
	count := int(b[32])
	b = b[originFixed:]
	if count > diode.MaxClasses || len(b) < count*prevEndBytes {
		return o, nil, fmt.Errorf("%w: origin with %d ends in %d bytes", ErrBody, count, len(b))
	}
	o.Ends = make([]PrevEnd, 0, count)
	for range count {
		if b[1] > 1 {
			return o, nil, fmt.Errorf("%w: origin flag %d", ErrBody, b[1])
		}
		o.Ends = append(o.Ends, PrevEnd{
			Class: diode.Class(b[0]),
			Known: b[1] == 1,
			Last:  binary.BigEndian.Uint64(b[2:]),
			Sum:   binary.BigEndian.Uint64(b[10:]),
		})
		b = b[prevEndBytes:]
	}
	return o, b, nil
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}
