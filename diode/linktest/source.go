package linktest

import (
	"context"
	"errors"
	"sync"

	"github.com/sluice-gateway/sluice/diode"
)

// ErrNotThere is the answer of Source.Read to a sequence it never gave.
var ErrNotThere = errors.New("linktest: no such batch")

// Source is a send.Source over a list of batches in memory. Safe for
// concurrent use.
type Source struct {
	mu      sync.Mutex // guards what follows
	class   diode.Class
	batches []diode.Batch
	sum     uint64
	cursor  int // index of the batch that Next gives
	sent    uint64
	grown   chan struct{} // capacity 1
}

// NewSource returns an empty source of one class.
func NewSource(class diode.Class) *Source {
	return &Source{class: class, grown: make(chan struct{}, 1)}
}

// Add appends a batch and returns its sequence.
func (s *Source) Add(data []byte, weight uint32) uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	seq := uint64(len(s.batches) + 1)
	s.batches = append(s.batches, diode.Batch{
		BatchID: diode.BatchID{Class: s.class, Seq: seq}, Weight: weight, SumBefore: s.sum, Data: data,
	})
	s.sum += uint64(weight)
	select {
	case s.grown <- struct{}{}:
	default:
	}
	return seq
}

// Rewind makes Next give batches again from n before what was sent: what a
// caller does at the start of a sender.
func (s *Source) Rewind(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cursor = max(int(s.sent)-n, 0)
}

// Next implements send.Source.
func (s *Source) Next(ctx context.Context, buf []byte) (diode.Batch, error) {
	for {
		if b, ok := s.take(buf); ok {
			return b, nil
		}
		select {
		case <-s.grown:
		case <-ctx.Done():
			return diode.Batch{}, ctx.Err()
		}
	}
}

func (s *Source) take(buf []byte) (diode.Batch, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cursor >= len(s.batches) {
		return diode.Batch{}, false
	}
	b := s.batches[s.cursor]
	s.cursor++
	b.Data = append(buf[:0], b.Data...)
	return b, true
}

// Read implements send.Source.
func (s *Source) Read(seq uint64, buf []byte) (diode.Batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seq == 0 || seq > uint64(len(s.batches)) {
		return diode.Batch{}, ErrNotThere
	}
	b := s.batches[seq-1]
	b.Data = append(buf[:0], b.Data...)
	return b, nil
}

// Sent implements send.Source.
func (s *Source) Sent(through uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent = max(s.sent, through)
}

// SentThrough returns what Sent was last told.
func (s *Source) SentThrough() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

// Bounds implements send.Source.
func (s *Source) Bounds() (first, next, sum uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return 1, uint64(len(s.batches) + 1), s.sum
}
