package frame

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// MaxHealthBytes bounds the opaque health that a heartbeat carries, so that a
// heartbeat fits one datagram at every MTU we accept.
const MaxHealthBytes = 600

const (
	heartbeatFixed = 8 + 4 + 8 + 8 + counterBytes + 1
	counterBytes   = 6 * 8
	seriesBytes    = 1 + 1 + 16 + 16 + 8*8
)

// Heartbeat tells the far side what the near side believes.
type Heartbeat struct {
	Clock time.Time     // of the sender
	Every time.Duration // until the next heartbeat; milliseconds on the wire
	// Next is the session that will follow this one when its counter reaches
	// SwitchAt. 0: none is announced.
	Next, SwitchAt uint64
	Counters       Counters
	Series         []Series // one per class, at most diode.MaxClasses
	Health         []byte   // opaque
}

// Counters are the sender's, since its start.
type Counters struct {
	Frames    uint64 // sent, of all kinds
	WireBytes uint64 // Ethernet framing included
	Copies    uint64 // batches sent again: repeats, after errors, on an operator's request
	Missing   uint64 // copies that were due of batches no longer retained
	Holds     uint64 // times that the link did not take frames
	Oversize  uint64 // batches too big for the link, left out
}

// Series is what the near side has of one class.
type Series struct {
	Class       diode.Class
	Epoch       diode.Epoch
	First       uint64 // first sequence still retained
	Sent        uint64 // every copy of everything up to here has left; 0 = not known yet
	SentSum     uint64 // running sum after Sent
	Accepted    uint64 // last sequence accepted into the near spool
	AcceptedSum uint64 // running sum after Accepted
	// Oldest is when the oldest batch that has not been sent was taken in, by
	// the near clock. Zero: nothing waits.
	Oldest time.Time
}

// Append appends the plaintext of the heartbeat to b.
func (h *Heartbeat) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(h.Clock.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(min(h.Every.Milliseconds(), 1<<32-1)))
	c := h.Counters
	for _, v := range [...]uint64{h.Next, h.SwitchAt, c.Frames, c.WireBytes, c.Copies, c.Missing, c.Holds, c.Oversize} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, byte(len(h.Series)))
	for i := range h.Series {
		b = h.Series[i].append(b)
	}
	health := h.Health[:min(len(h.Health), MaxHealthBytes)]
	b = binary.BigEndian.AppendUint16(b, uint16(len(health)))
	return append(b, health...)
}

func (s *Series) append(b []byte) []byte {
	b = append(b, byte(s.Class), boolByte(s.Epoch.PrevKnown))
	b = append(b, s.Epoch.ID[:]...)
	b = append(b, s.Epoch.Prev[:]...)
	for _, v := range [...]uint64{
		s.Epoch.Start, s.Epoch.StartSum, s.First, s.Sent, s.SentSum, s.Accepted, s.AcceptedSum, nanoseconds(s.Oldest),
	} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	return b
}

// ParseHeartbeat reads the opened plaintext of a heartbeat. Nothing in the
// result aliases b.
func ParseHeartbeat(b []byte) (Heartbeat, error) {
	var h Heartbeat
	if len(b) < heartbeatFixed {
		return h, fmt.Errorf("%w: heartbeat of %d bytes", ErrBody, len(b))
	}
	u64 := binary.BigEndian.Uint64
	h.Clock = time.Unix(0, int64(u64(b)))
	h.Every = time.Duration(binary.BigEndian.Uint32(b[8:])) * time.Millisecond
	h.Next, h.SwitchAt = u64(b[12:]), u64(b[20:])
	h.Counters = Counters{
		Frames: u64(b[28:]), WireBytes: u64(b[36:]), Copies: u64(b[44:]), Missing: u64(b[52:]), Holds: u64(b[60:]), Oversize: u64(b[68:]),
	}
	count := int(b[heartbeatFixed-1])
	b = b[heartbeatFixed:]
	if count > diode.MaxClasses || len(b) < count*seriesBytes+2 {
		return h, fmt.Errorf("%w: heartbeat with %d classes in %d bytes", ErrBody, count, len(b))
	}
	for range count {
		s, err := parseSeries(b)
		if err != nil {
			return h, err
		}
		h.Series = append(h.Series, s)
		b = b[seriesBytes:]
	}
	size := int(binary.BigEndian.Uint16(b))
	if size > MaxHealthBytes || len(b) != 2+size {
		return h, fmt.Errorf("%w: health of %d bytes in %d", ErrBody, size, len(b))
	}
	h.Health = append([]byte(nil), b[2:]...)
	return h, nil
}

func parseSeries(b []byte) (Series, error) {
	s := Series{Class: diode.Class(b[0])}
	if b[1] > 1 {
		return s, fmt.Errorf("%w: series flag %d", ErrBody, b[1])
	}
	s.Epoch.PrevKnown = b[1] == 1
	copy(s.Epoch.ID[:], b[2:])
	copy(s.Epoch.Prev[:], b[18:])
	n := b[34:]
	for i, v := range [...]*uint64{&s.Epoch.Start, &s.Epoch.StartSum, &s.First, &s.Sent, &s.SentSum, &s.Accepted, &s.AcceptedSum} {
		*v = binary.BigEndian.Uint64(n[8*i:])
	}
	if s.Epoch.Start == 0 {
		return s, fmt.Errorf("%w: an epoch that starts at 0", ErrBody)
	}
	if ns := binary.BigEndian.Uint64(n[56:]); ns != 0 {
		s.Oldest = time.Unix(0, int64(ns))
	}
	return s, nil
}

// nanoseconds since 1970, 0 for the zero time.
func nanoseconds(t time.Time) uint64 {
	if t.IsZero() {
		return 0
	}
	return uint64(t.UnixNano())
}

func boolByte(v bool) byte {
	if v {
		return 1
	}
	return 0
}
