package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// A spool entry is an envelope and, unless it is a gap, a batch. All integers are little endian.
//
//	0  1  kind: 1 = batch of a receiver of this node, 2 = batch from a link, 3 = gap of a link
//	1  1  flags: bit 0 = late, bit 1 = weight known, bit 2 = before first contact, bit 3 = time of acceptance follows
//
// Kind 1 continues, with bit 3, with
//
//	2  8  when this node took the batch in, Unix nanoseconds
//
// Kinds 2 and 3 continue with the identity and the position of the link:
//
//	 2 16  epoch                    of the batch or gap
//	18  1  class
//	19  8  sequence                 of the batch; of the gap's first
//	27  8  running sum before it
//	35 16  position: epoch          what has been delivered or declared in order, this entry included
//	51  8  position: sequence
//	59  8  position: sum after it
//	67  8  batches ever declared missing on this link and class
//	75  8  records ever declared missing
//
// and kind 3 with
//
//	83  8  last sequence, 0 = unknown
//	91  8  records in the gap
//	99  8  declared at, Unix nanoseconds
//	107 1  length of the reason, then the reason
//
// The position of a link is read from the newest entry of its spool: nothing else has to be kept in step with it.
const (
	kindLocal = 1
	kindLink  = 2
	kindGap   = 3

	flagLate         = 1 << 0
	flagWeightKnown  = 1 << 1
	flagFirstContact = 1 << 2
	flagTimed        = 1 << 3

	localBytes = 2
	timedBytes = 10
	linkBytes  = 83
	gapBytes   = 108
)

var errEnvelope = errors.New("gateway: malformed spool envelope")

// totals are what a link has lost on this side, ever.
type totals struct {
	Batches uint64
	Records uint64
}

// envelope is the decoded prefix of a spool entry.
type envelope struct {
	kind      byte
	accepted  time.Time // kind 1 only; zero = not known
	late      bool
	id        diode.BatchID
	sumBefore uint64
	position  diode.Position
	totals    totals
	gap       diode.Gap // kind 3 only
}

// localEnvelope is that of a batch which this node took in at a time.
func localEnvelope(at time.Time) []byte {
	return binary.LittleEndian.AppendUint64([]byte{kindLocal, flagTimed}, uint64(at.UnixNano()))
}

func (e envelope) encode() []byte {
	dst := make([]byte, 0, gapBytes)
	var flags byte
	if e.late {
		flags |= flagLate
	}
	if e.gap.WeightKnown {
		flags |= flagWeightKnown
	}
	if e.gap.BeforeFirstContact {
		flags |= flagFirstContact
	}
	dst = append(dst, e.kind, flags)
	dst = append(dst, e.id.Epoch[:]...)
	dst = append(dst, byte(e.id.Class))
	dst = binary.LittleEndian.AppendUint64(dst, e.id.Seq)
	dst = binary.LittleEndian.AppendUint64(dst, e.sumBefore)
	dst = append(dst, e.position.Epoch[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, e.position.Seq)
	dst = binary.LittleEndian.AppendUint64(dst, e.position.SumAfter)
	dst = binary.LittleEndian.AppendUint64(dst, e.totals.Batches)
	dst = binary.LittleEndian.AppendUint64(dst, e.totals.Records)
	if e.kind != kindGap {
		return dst
	}
	dst = binary.LittleEndian.AppendUint64(dst, e.gap.Last)
	dst = binary.LittleEndian.AppendUint64(dst, e.gap.Weight)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.gap.DeclaredAt.UnixNano()))
	reason := e.gap.Reason[:min(len(e.gap.Reason), 255)]
	return append(append(dst, byte(len(reason))), reason...)
}

// parseEnvelope splits a spool entry into envelope and batch; the batch aliases b.
func parseEnvelope(b []byte) (envelope, []byte, error) {
	if len(b) < localBytes {
		return envelope{}, nil, fmt.Errorf("%w: %d bytes", errEnvelope, len(b))
	}
	e := envelope{kind: b[0], late: b[1]&flagLate != 0}
	switch {
	case e.kind == kindLocal && b[1]&flagTimed == 0:
		return e, b[localBytes:], nil
	case e.kind == kindLocal && len(b) >= timedBytes:
		e.accepted = time.Unix(0, int64(binary.LittleEndian.Uint64(b[localBytes:])))
		return e, b[timedBytes:], nil
	case e.kind == kindLink && len(b) >= linkBytes:
		e.link(b)
		return e, b[linkBytes:], nil
	case e.kind == kindGap && len(b) >= gapBytes && len(b) >= gapBytes+int(b[gapBytes-1]):
		e.link(b)
		e.readGap(b)
		return e, nil, nil
	}
	return envelope{}, nil, fmt.Errorf("%w: kind %d with %d bytes", errEnvelope, b[0], len(b))
}

func (e *envelope) link(b []byte) {
	u64 := binary.LittleEndian.Uint64
	copy(e.id.Epoch[:], b[2:])
	e.id.Class = diode.Class(b[18])
	e.id.Seq, e.sumBefore = u64(b[19:]), u64(b[27:])
	copy(e.position.Epoch[:], b[35:])
	e.position.Class = e.id.Class
	e.position.Seq, e.position.SumAfter = u64(b[51:]), u64(b[59:])
	e.totals = totals{Batches: u64(b[67:]), Records: u64(b[75:])}
}

func (e *envelope) readGap(b []byte) {
	u64 := binary.LittleEndian.Uint64
	e.gap = diode.Gap{
		Epoch: e.id.Epoch, Class: e.id.Class, First: e.id.Seq, Last: u64(b[83:]),
		Weight: u64(b[91:]), WeightKnown: b[1]&flagWeightKnown != 0, BeforeFirstContact: b[1]&flagFirstContact != 0,
		DeclaredAt: time.Unix(0, int64(u64(b[99:]))),
		Reason:     string(b[gapBytes : gapBytes+int(b[gapBytes-1])]),
	}
}
