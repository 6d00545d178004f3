package gateway

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

const (
	// farQueueBytes bounds what a link may have handed to its spool and the spool has not written (ours: two commits).
	farQueueBytes = 16 << 20
	// tailBytes is how far behind the newest entry a batch can have been dropped and not be named yet: what was queued
	// behind it, and as much for the entries' overhead.
	tailBytes = 2 * farQueueBytes
	// tailEntry is what an entry counts for at least, so that many small ones end the way back too.
	tailEntry = 128
	// tailStride is how many entries the way back reads at once, forward.
	tailStride = 256
)

// landed is what an entry of a link's spool says of the link, without its batch.
type landed struct {
	seq      uint64 // in the spool
	weight   uint32
	envelope envelope
}

// tail reads the newest entries of a log, the oldest first.
func tail(log *spool.Log) ([]landed, error) {
	first, next, _ := log.Bounds()
	var strides [][]landed
	for bytes := int64(0); next > first && bytes < tailBytes; {
		from := max(first, next-min(tailStride, next))
		stride, size, err := readStride(log, from, next)
		if err != nil {
			return nil, err
		}
		strides, next = append(strides, stride), from
		bytes += size
	}
	slices.Reverse(strides)
	return slices.Concat(strides...), nil
}

func readStride(log *spool.Log, from, to uint64) (out []landed, bytes int64, err error) {
	var buf []byte
	for seq := from; seq < to; seq++ {
		e, err := log.Read(seq, buf)
		if corrupt := (*spool.CorruptError)(nil); errors.As(err, &corrupt) {
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		buf = e.Data
		bytes += int64(len(e.Data)) + tailEntry
		if env, _, err := parseEnvelope(e.Data); err == nil {
			out = append(out, landed{seq: e.Seq, weight: e.Weight, envelope: env})
		}
	}
	return out, bytes, nil
}

// unnamed returns the batches that the newest position passes over although they are neither in the spool nor in a gap:
// the spool dropped them when it was full, and the process ended before that was written down. Where the spool itself is
// damaged nothing is concluded: it says itself what it lost.
func (o *origin) unnamed() ([]diode.Gap, error) {
	var out []diode.Gap
	for _, log := range o.logs {
		entries, err := tail(log)
		if err != nil {
			return nil, fmt.Errorf("spool %q: newest entries: %w", o.name, err)
		}
		out = append(out, holes(entries)...)
	}
	return out, nil
}

// holes follows the stream through entries of one log.
func holes(entries []landed) []diode.Gap {
	var w walk
	for i, e := range entries {
		if i > 0 && e.seq != entries[i-1].seq+1 {
			w.reset()
		}
		w.pass(e)
	}
	if n := len(entries); n > 0 {
		w.end(entries[n-1].envelope.position)
	}
	return w.unnamed()
}

// walk is how far the stream has been followed.
type walk struct {
	at    diode.Position // the last batch or gap in order; Seq 0 = not known yet
	holes []diode.Gap
	named []diode.Gap
}

func (w *walk) reset() { w.at = diode.Position{} }

func (w *walk) pass(e landed) {
	id := e.envelope.id
	switch {
	case e.envelope.kind == kindGap:
		g := e.envelope.gap
		w.named = append(w.named, g)
		if g.Epoch == w.at.Epoch && g.First == w.at.Seq+1 && g.Last >= g.First {
			w.at.Seq, w.at.SumAfter = g.Last, w.at.SumAfter+g.Weight
		}
	case e.envelope.kind == kindLink && !e.envelope.late:
		w.hole(id.Epoch, id.Seq, e.envelope.sumBefore)
		w.at = diode.Position{Epoch: id.Epoch, Class: id.Class, Seq: id.Seq, SumAfter: e.envelope.sumBefore + uint64(e.weight)}
	}
}

// end compares with the newest position: what is at its end may have been dropped as well.
func (w *walk) end(p diode.Position) { w.hole(p.Epoch, p.Seq+1, p.SumAfter) }

// hole notes what is missing below a batch of the same epoch.
func (w *walk) hole(epoch [16]byte, seq, sum uint64) {
	if w.at.Seq == 0 || w.at.Epoch != epoch || seq <= w.at.Seq+1 {
		return
	}
	g := diode.Gap{Epoch: epoch, Class: w.at.Class, First: w.at.Seq + 1, Last: seq - 1, Reason: diode.ReasonFarIO, DeclaredAt: time.Now()}
	if sum >= w.at.SumAfter {
		g.Weight, g.WeightKnown = sum-w.at.SumAfter, true
	}
	w.holes = append(w.holes, g)
}

// unnamed returns what of the holes was not named. Naming goes batch by batch in order, so it is the end of a hole.
func (w *walk) unnamed() []diode.Gap {
	var out []diode.Gap
	for _, h := range w.holes {
		for _, g := range w.named {
			if g.Epoch == h.Epoch && g.First <= h.First && g.Last >= h.First {
				h.Weight -= min(g.Weight, h.Weight)
				h.First = g.Last + 1
			}
		}
		if h.First <= h.Last {
			out = append(out, h)
		}
	}
	return out
}
