package linktest

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/diode"
)

// ErrNotThere is the answer of Source.Read to a sequence it does not have.
var ErrNotThere = errors.New("linktest: no such batch")

// Source is a send.Source over a spool of batches in memory, which several
// sources may share. Safe for concurrent use.
type Source struct {
	spool *spool
	grown chan struct{} // capacity 1

	// Guarded by the spool's mutex.
	cursor int // index of the batch that Next gives
	sent   uint64
}

// spool is what the near side keeps of one class.
type spool struct {
	mu      sync.Mutex // guards what follows, and the cursors of its sources
	class   diode.Class
	epoch   diode.Epoch // zero: batches name none
	batches []diode.Batch
	sum     uint64
	first   uint64 // first sequence retained
	readers []*Source
}

// NewSource returns an empty source of one class.
func NewSource(class diode.Class) *Source {
	return (&spool{class: class, first: 1}).source()
}

func (p *spool) source() *Source {
	s := &Source{spool: p, grown: make(chan struct{}, 1)}
	p.readers = append(p.readers, s)
	return s
}

// Another returns a further source over the same batches, for a second link.
func (s *Source) Another() *Source {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	return s.spool.source()
}

// Begin begins an epoch behind what is there; known says that the one before
// ended there.
func (s *Source) Begin(id [16]byte, known bool) diode.Epoch {
	p := s.spool
	p.mu.Lock()
	defer p.mu.Unlock()
	p.epoch = diode.Epoch{ID: id, Start: uint64(len(p.batches)) + 1, StartSum: p.sum, Prev: p.epoch.ID, PrevKnown: known}
	return p.epoch
}

// Epoch returns the epoch that Begin began last.
func (s *Source) Epoch() diode.Epoch {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	return s.spool.epoch
}

// Backup returns a copy of the source as it is now, over a spool of its own.
func (s *Source) Backup() *Source {
	p := s.spool
	p.mu.Lock()
	defer p.mu.Unlock()
	old := &spool{class: p.class, epoch: p.epoch, batches: slices.Clone(p.batches), sum: p.sum, first: p.first}
	c := old.source()
	c.cursor, c.sent = s.cursor, s.sent
	return c
}

// Evict forgets everything below sequence first.
func (s *Source) Evict(first uint64) {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	s.spool.first = max(s.spool.first, first)
}

// Add appends a batch and returns its sequence.
func (s *Source) Add(data []byte, weight uint32) uint64 { return s.Append(data, weight).Seq }

// Append appends a batch and returns it.
func (s *Source) Append(data []byte, weight uint32) diode.Batch {
	p := s.spool
	p.mu.Lock()
	defer p.mu.Unlock()
	b := diode.Batch{
		BatchID: diode.BatchID{Epoch: p.epoch.ID, Class: p.class, Seq: uint64(len(p.batches) + 1)}, Weight: weight, SumBefore: p.sum, Data: data,
	}
	p.batches = append(p.batches, b)
	p.sum += uint64(weight)
	for _, r := range p.readers {
		select {
		case r.grown <- struct{}{}:
		default:
		}
	}
	return b
}

// Rewind makes Next give batches again from n before what was sent: what a
// caller does at the start of a sender.
func (s *Source) Rewind(n int) {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	s.cursor = max(int(s.sent)-n, int(s.spool.first)-1, 0)
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
	p := s.spool
	p.mu.Lock()
	defer p.mu.Unlock()
	s.cursor = max(s.cursor, int(p.first)-1)
	if s.cursor >= len(p.batches) {
		return diode.Batch{}, false
	}
	b := p.batches[s.cursor]
	s.cursor++
	b.Data = append(buf[:0], b.Data...)
	return b, true
}

// Read implements send.Source.
func (s *Source) Read(seq uint64, buf []byte) (diode.Batch, error) {
	p := s.spool
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq < p.first || seq > uint64(len(p.batches)) {
		return diode.Batch{}, ErrNotThere
	}
	b := p.batches[seq-1]
	b.Data = append(buf[:0], b.Data...)
	return b, nil
}

// Sent implements send.Source.
func (s *Source) Sent(through uint64) {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	s.sent = max(s.sent, through)
}

// SentThrough returns what Sent was last told.
func (s *Source) SentThrough() uint64 {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	return s.sent
}

// Bounds implements send.Source.
func (s *Source) Bounds() (first, next, sum uint64) {
	s.spool.mu.Lock()
	defer s.spool.mu.Unlock()
	return s.spool.first, uint64(len(s.spool.batches) + 1), s.spool.sum
}
