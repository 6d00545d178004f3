package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// A spool entry is an envelope and, unless it is a gap, a batch (docs/formats/spool-envelope.md). All integers are little
// endian, all times Unix nanoseconds with 0 for "not known".
//
//	0  1  kind: 1 = batch of a receiver of this node, 2 = batch from a link, 3 = gap of a link
//	1  1  flags: bit 0 = late, bit 1 = weight known, bit 2 = before first contact, bit 3 = times follow, bit 4 = resent
//
// Kind 1 continues, with bit 3, with
//
//	2  8  when this node took the batch in
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
// then, with bit 3, with times: of the batch (kind 2), or of the batches before and after the gap (kind 3)
//
//	83  8  taken in by the near side, by its clock
//	91  8  arrived here
//	99 16  kind 3 only: the same of the batch after it
//
// and kind 3, from there on (83 or 115), with
//
//	 0  8  last sequence, 0 = unknown
//	 8  8  records in the gap
//	16  8  declared at
//	24  1  length of the reason, then the reason
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
	flagResent       = 1 << 4

	localBytes     = 2
	timedBytes     = 10
	linkBytes      = 83
	neighbourBytes = 16
	gapBytes       = 25
	// headBytes is enough for every envelope with a reason of ours.
	headBytes = linkBytes + 2*neighbourBytes + gapBytes + 64
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
	accepted  time.Time // by the near side, kinds 1 and 2; zero = not known
	arrived   time.Time // kind 2 only
	late      bool
	resent    bool // kind 2 only
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
	dst := make([]byte, 0, linkBytes+2*neighbourBytes+gapBytes+len(e.gap.Reason))
	dst = append(dst, e.kind, e.flags())
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
		return appendTimes(dst, e.accepted, e.arrived)
	}
	dst = appendTimes(dst, e.gap.Before.Near, e.gap.Before.Far, e.gap.After.Near, e.gap.After.Far)
	dst = binary.LittleEndian.AppendUint64(dst, e.gap.Last)
	dst = binary.LittleEndian.AppendUint64(dst, e.gap.Weight)
	dst = appendTimes(dst, e.gap.DeclaredAt)
	reason := e.gap.Reason[:min(len(e.gap.Reason), 255)]
	return append(append(dst, byte(len(reason))), reason...)
}

func (e envelope) flags() byte {
	return flagTimed | flagIf(flagLate, e.late) | flagIf(flagResent, e.resent) |
		flagIf(flagWeightKnown, e.gap.WeightKnown) | flagIf(flagFirstContact, e.gap.BeforeFirstContact)
}

func flagIf(flag byte, on bool) byte {
	if on {
		return flag
	}
	return 0
}

func appendTimes(dst []byte, times ...time.Time) []byte {
	for _, t := range times {
		var n int64
		if !t.IsZero() {
			n = t.UnixNano()
		}
		dst = binary.LittleEndian.AppendUint64(dst, uint64(n)) // #nosec G115 -- two's complement, as it is read
	}
	return dst
}

func timeAt(b []byte) time.Time {
	if n := binary.LittleEndian.Uint64(b); n != 0 {
		return time.Unix(0, int64(n)) // #nosec G115 -- as it was written
	}
	return time.Time{}
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
	case e.kind == kindLink && len(b) >= e.linkEnd(b):
		e.link(b)
		return e, b[e.linkEnd(b):], nil
	case e.kind == kindGap && len(b) >= e.linkEnd(b)+gapBytes && e.readGap(b[e.linkEnd(b):]):
		e.link(b)
		e.linkGap(b)
		return e, nil, nil
	}
	return envelope{}, nil, fmt.Errorf("%w: kind %d with %d bytes", errEnvelope, b[0], len(b))
}

// linkEnd is where what a batch and a gap have in common ends, times included.
func (e *envelope) linkEnd(b []byte) int {
	switch {
	case b[1]&flagTimed == 0:
		return linkBytes
	case e.kind == kindGap:
		return linkBytes + 2*neighbourBytes
	default:
		return linkBytes + neighbourBytes
	}
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
	e.resent = b[1]&flagResent != 0
	if e.kind == kindLink && b[1]&flagTimed != 0 {
		e.accepted, e.arrived = timeAt(b[linkBytes:]), timeAt(b[linkBytes+8:])
	}
}

// linkGap takes over what a gap has in common with a batch.
func (e *envelope) linkGap(b []byte) {
	e.gap.Epoch, e.gap.Class, e.gap.First = e.id.Epoch, e.id.Class, e.id.Seq
	e.gap.WeightKnown, e.gap.BeforeFirstContact = b[1]&flagWeightKnown != 0, b[1]&flagFirstContact != 0
	if e.gap.Last != 0 {
		e.gap.SumAfter = e.sumBefore + e.gap.Weight
	}
	if b[1]&flagTimed != 0 {
		t := b[linkBytes:]
		e.gap.Before = diode.Neighbour{Near: timeAt(t), Far: timeAt(t[8:])}
		e.gap.After = diode.Neighbour{Near: timeAt(t[16:]), Far: timeAt(t[24:])}
	}
}

// readGap reads what only a gap has. It is false when the reason is cut short.
func (e *envelope) readGap(b []byte) bool {
	reason := b[gapBytes:]
	n := int(b[gapBytes-1])
	if len(reason) < n {
		return false
	}
	u64 := binary.LittleEndian.Uint64
	e.gap = diode.Gap{Last: u64(b), Weight: u64(b[8:]), DeclaredAt: timeAt(b[16:]), Reason: string(reason[:n])}
	return true
}
