package recv

import (
	"container/heap"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

// recentBatches is how many delivered batches of a series are remembered by
// sum and digest, so that a sender that went back and writes other batches
// under known sequences is noticed. 24 bytes each.
const recentBatches = 8192

// series is one epoch and class: what came, what comes next, what is missing.
type series struct {
	epoch [16]byte
	class diode.Class

	placed   bool     // its place among the epochs of its class is known
	start    uint64   // first sequence; 1 unless a heartbeat said otherwise
	startSum uint64   // running sum before it
	prev     [16]byte // the epoch before, as the heartbeat that placed it said
	guess    bool     // no heartbeat said where it starts
	end      uint64   // where the next epoch starts; 0: not known
	endSum   uint64
	endKnown bool // nothing from end on was ever part of it

	contact bool   // next and sum are known
	begun   bool   // something of it was delivered
	ended   bool   // another epoch has followed
	next    uint64 // the sequence that is due
	sum     uint64 // running sum before it
	last    diode.Neighbour

	waiting    map[uint64]held // above next
	order      seqHeap         // of waiting
	since      time.Time       // when the hole at next was first seen
	settledSeq uint64          // newest that waits and settles those before it

	holes  spans
	recent []identity // recentBatches, by sequence

	// back says that the sender's spool went back: a sequence below next is a
	// duplicate only when it is remembered. rewrite is what the sender then
	// gives other batches, as far as none has come.
	back      bool
	rewrite   spans
	unsure    bool   // sum may not be the sender's any more
	rewritten uint64 // order of the session that said so

	said        [maxPaths]saidList // sent-through of the heartbeats, per path
	accepted    uint64             // accepted-through of the last heartbeat
	acceptedSum uint64
}

// held is a batch that arrived.
type held struct {
	batch   diode.Batch
	digest  uint64
	settled bool // no copy of those before it will follow
}

func (h *held) neighbour() diode.Neighbour {
	return diode.Neighbour{Near: h.batch.Time, Far: h.batch.Arrived}
}

type identity struct{ seq, sum, digest uint64 }

func newSeries(epoch [16]byte, class diode.Class) *series {
	return &series{epoch: epoch, class: class, start: 1, guess: true, next: 1, waiting: make(map[uint64]held)}
}

func (s *series) remember(h held) {
	if s.recent == nil {
		s.recent = make([]identity, recentBatches)
	}
	s.recent[h.batch.Seq%recentBatches] = identity{h.batch.Seq, h.batch.SumBefore, h.digest}
}

// known says whether the batch, whose sequence is below next or behind the end,
// was delivered before as it is now, and whether one with other content was.
func (s *series) known(h held) (same, other bool) {
	b := h.batch
	if s.recent != nil {
		if id := s.recent[b.Seq%recentBatches]; id.seq == b.Seq {
			same = id.sum == b.SumBefore && id.digest == h.digest
			return same, !same
		}
	}
	if s.back || b.Seq >= s.next {
		return false, false
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
	if h.settled {
		s.settledSeq = max(s.settledSeq, h.batch.Seq)
	}
	s.waiting[h.batch.Seq] = h
	heap.Push(&s.order, h.batch.Seq)
}

// newest is the highest sequence that was delivered or waits.
func (s *series) newest() uint64 {
	top := s.next - min(s.next, 1)
	for _, seq := range s.order {
		top = max(top, seq)
	}
	return top
}

// take returns the waiting batch with the lowest sequence; there is one.
func (s *series) take() held {
	seq, _ := heap.Pop(&s.order).(uint64)
	h := s.waiting[seq]
	delete(s.waiting, seq)
	return h
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
