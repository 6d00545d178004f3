package gateway

import (
	"context"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// source is what a link sends of one class: the entries of a spool log in order, each as it is, without its envelope.
type source struct {
	log    *spool.Log
	cursor *spool.Cursor
	class  diode.Class
}

// Next blocks for the next entry.
func (s *source) Next(ctx context.Context, buf []byte) (diode.Batch, error) {
	e, err := s.cursor.Next(ctx, buf)
	if err != nil {
		return diode.Batch{}, err
	}
	return s.batch(e)
}

// Read reads an entry again, for a repeat.
func (s *source) Read(seq uint64, buf []byte) (diode.Batch, error) {
	e, err := s.log.Read(seq, buf)
	if err != nil {
		return diode.Batch{}, err
	}
	return s.batch(e)
}

func (s *source) batch(e spool.Entry) (diode.Batch, error) {
	_, data, err := parseEnvelope(e.Data)
	if err != nil {
		// The checksum was right, so this program wrote it: send it empty rather than stop the link; its weight is
		// counted on the far side.
		data = nil
	}
	id := diode.BatchID{Epoch: s.log.Epoch(), Class: s.class, Seq: e.Seq}
	return diode.Batch{BatchID: id, Weight: e.Weight, SumBefore: e.SumBefore, Data: data}, nil
}

// Sent moves the cursor: the kernel has taken every frame of these batches.
func (s *source) Sent(through uint64) { s.cursor.Ack(through) }

// Bounds tells the far side what there is.
func (s *source) Bounds() (first, next, sum uint64) { return s.log.Bounds() }
