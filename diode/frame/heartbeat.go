package frame

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// MaxHealthBytes bounds the opaque health that a heartbeat carries, so that a
// heartbeat fits one datagram at every MTU we accept.
const MaxHealthBytes = 512

const (
	heartbeatFixed = 8 + 4 + 1
	boundsBytes    = 1 + 5*8
)

// Bounds is what the near side has of one series.
type Bounds struct {
	Class       diode.Class
	First       uint64 // first sequence still retained
	Sent        uint64 // every copy of everything up to here has left; 0 = not known yet
	SentSum     uint64 // running sum after Sent
	Accepted    uint64 // last sequence accepted into the near spool
	AcceptedSum uint64 // running sum after Accepted
}

// Heartbeat tells the far side what the near side believes.
type Heartbeat struct {
	Origin Origin
	Clock  time.Time     // of the sender
	Every  time.Duration // until the next heartbeat; milliseconds on the wire
	Bounds []Bounds      // one per class
	Health []byte        // opaque
}

// Append appends the plaintext of the heartbeat to b.
func (h *Heartbeat) Append(b []byte) []byte {
	b = h.Origin.Append(b)
	b = binary.BigEndian.AppendUint64(b, uint64(h.Clock.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(min(h.Every.Milliseconds(), 1<<32-1)))
	b = append(b, byte(len(h.Bounds)))
	for _, x := range h.Bounds {
		b = append(b, byte(x.Class))
		for _, v := range [...]uint64{x.First, x.Sent, x.SentSum, x.Accepted, x.AcceptedSum} {
			b = binary.BigEndian.AppendUint64(b, v)
		}
	}
	health := h.Health[:min(len(h.Health), MaxHealthBytes)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(health)))
	return append(b, health...)
}

// ParseHeartbeat reads the opened plaintext of a heartbeat. Nothing in the
// result aliases b.
func ParseHeartbeat(b []byte) (Heartbeat, error) {
	var h Heartbeat
	origin, b, err := parseOrigin(b)
	if err != nil {
		return h, err
	}
	if len(b) < heartbeatFixed {
		return h, fmt.Errorf("%w: heartbeat of %d bytes", ErrBody, len(b))
	}
	h.Origin = origin
	h.Clock = time.Unix(0, int64(binary.BigEndian.Uint64(b)))
	h.Every = time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Millisecond
	count := int(b[12])
	b = b[heartbeatFixed:]
	if count > diode.MaxClasses || len(b) < count*boundsBytes+2 {
		return h, fmt.Errorf("%w: heartbeat with %d classes in %d bytes", ErrBody, count, len(b))
	}
	for range count {
		h.Bounds = append(h.Bounds, parseBounds(b))
		b = b[boundsBytes:]
	}
	size := int(binary.BigEndian.Uint16(b))
	if size > MaxHealthBytes || len(b) != 2+size {
		return h, fmt.Errorf("%w: health of %d bytes in %d", ErrBody, size, len(b))
	}
	h.Health = append([]byte(nil), b[2:]...)
	return h, nil
}

func parseBounds(b []byte) Bounds {
	return Bounds{
		Class:       diode.Class(b[0]),
		First:       binary.BigEndian.Uint64(b[1:]),
		Sent:        binary.BigEndian.Uint64(b[9:]),
		SentSum:     binary.BigEndian.Uint64(b[17:]),
		Accepted:    binary.BigEndian.Uint64(b[25:]),
		AcceptedSum: binary.BigEndian.Uint64(b[33:]),
	}
}
