package recv

import (
	"container/heap"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// recentBatches is how many delivered batches of a series are remembered by
// sum and digest, so that a sender that went back and writes other batches
// under known sequences is noticed. 24 bytes each.
const recentBatches = 8192

// series is one epoch and class: what came, what comes next, what is missing.
type series struct {
	epoch [16]byte
	class diode.Class

	contact bool   // next and sum are known
	next    uint64 // the sequence that is due
	sum     uint64 // running sum before it
	ended   bool   // another epoch has followed

	waiting map[uint64]held // above next
	order   seqHeap         // of waiting
	since   time.Time       // when the hole at next was first seen

	holes  spans
	recent []identity // recentBatches, by sequence

	through, throughSum uint64 // sent-through of the heartbeats
	throughAt           time.Time
	throughCounter      uint64   // frame counter of the heartbeat that said so …
	throughSession      *session // … in this session
	accepted            uint64   // accepted-through of the last heartbeat
	acceptedSum         uint64
}

// held is a batch that arrived.
type held struct {
	batch   diode.Batch
	digest  uint64
	settled bool // no copy of those before it will follow
}

type identity struct{ seq, sum, digest uint64 }

func newSeries(epoch [16]byte, class diode.Class) *series {
	return &series{epoch: epoch, class: class, next: 1, waiting: make(map[uint64]held)}
}

func (s *series) remember(h held) {
	if s.recent == nil {
		s.recent = make([]identity, recentBatches)
	}
	s.recent[h.batch.Seq%recentBatches] = identity{h.batch.Seq, h.batch.SumBefore, h.digest}
}

// known says whether the batch was delivered before as it is now, and whether
// one with other content was.
func (s *series) known(h held) (same, other bool) {
	b := h.batch
	if s.recent != nil {
		if id := s.recent[b.Seq%recentBatches]; id.seq == b.Seq {
			same = id.sum == b.SumBefore && id.digest == h.digest
			return same, !same
		}
	}
	// Beyond memory: at least its running sum must fit what came after it.
	fits := b.SumBefore+uint64(b.Weight) <= s.sum
	return fits, !fits
}

// wait keeps a batch until those before it came.
func (s *series) wait(h held, now time.Time) {
	if len(s.waiting) == 0 {
		s.since = now
	}
	s.waiting[h.batch.Seq] = h
	heap.Push(&s.order, h.batch.Seq)
}

// take returns the waiting batch with the lowest sequence; there is one.
func (s *series) take() held {
	seq, _ := heap.Pop(&s.order).(uint64)
	h := s.waiting[seq]
	delete(s.waiting, seq)
	return h
}

// heard notes what a heartbeat says.
func (s *series) heard(b frame.Bounds, x *session, counter uint64, now time.Time) {
	s.accepted, s.acceptedSum = b.Accepted, b.AcceptedSum
	if b.Sent > s.through {
		s.through, s.throughSum = b.Sent, b.SentSum
		s.throughAt, s.throughCounter, s.throughSession = now, counter, x
	}
}

// seqHeap is a heap of sequences for container/heap.
type seqHeap []uint64

func (h seqHeap) Len() int           { return len(h) }
func (h seqHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h seqHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *seqHeap) Push(x any)        { v, _ := x.(uint64); *h = append(*h, v) }
func (h *seqHeap) Pop() any {
	old := *h
	v := old[len(old)-1]
	*h = old[:len(old)-1]
	return v
}
