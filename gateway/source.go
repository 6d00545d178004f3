package gateway

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// oldestEvery is how often a source looks how old what it has to send is: as often as heartbeats tell it (ours).
const oldestEvery = time.Second

// source is what a link sends of one class: the entries of a spool log in order, each as it is, without its envelope.
type source struct {
	log    *spool.Log
	cursor *spool.Cursor
	class  diode.Class
	epoch  diode.Epoch
	oldest atomic.Int64 // Unix nanoseconds; 0 = everything has been sent
}

func newSource(log *spool.Log, c *spool.Cursor, class diode.Class) *source {
	return &source{log: log, cursor: c, class: class, epoch: epochOf(log)}
}

// epochOf tells the link which epoch a log is in: it begins behind what is known of the one before.
func epochOf(log *spool.Log) diode.Epoch {
	e := diode.Epoch{ID: log.Epoch()}
	prev, last, sum, known := log.EpochInfo()
	e.Prev, e.Start, e.StartSum, e.PrevKnown = prev, last+1, sum, known
	return e
}

// Next blocks for the next entry.
func (s *source) Next(ctx context.Context, buf []byte) (diode.Batch, error) {
	e, err := s.cursor.Next(ctx, buf)
	if err != nil {
		return diode.Batch{}, err
	}
	return s.batch(e), nil
}

// Read reads an entry again, for a copy.
func (s *source) Read(seq uint64, buf []byte) (diode.Batch, error) {
	e, err := s.log.Read(seq, buf)
	if err != nil {
		return diode.Batch{}, err
	}
	return s.batch(e), nil
}

func (s *source) batch(e spool.Entry) diode.Batch {
	env, data, err := parseEnvelope(e.Data)
	if err != nil {
		// The checksum was right, so this program wrote it: send it empty rather than stop the link; its weight is
		// counted on the far side.
		data = nil
	}
	id := diode.BatchID{Epoch: e.Epoch, Class: s.class, Seq: e.Seq}
	return diode.Batch{BatchID: id, Weight: e.Weight, SumBefore: e.SumBefore, Time: env.accepted, Data: data}
}

// Sent moves the cursor: the kernel has taken every frame of these batches.
func (s *source) Sent(through uint64) { s.cursor.Ack(through) }

// Bounds tells the far side what there is.
func (s *source) Bounds() (first, next, sum uint64) { return s.log.Bounds() }

// Oldest is when the oldest batch that has not been sent was taken in; zero: nothing waits.
func (s *source) Oldest() time.Time {
	if n := s.oldest.Load(); n != 0 {
		return time.Unix(0, n)
	}
	return time.Time{}
}

// watch keeps Oldest until ctx ends: the link, which asks, must not wait for the disk.
func (s *source) watch(ctx context.Context) {
	tick := time.NewTicker(oldestEvery)
	defer tick.Stop()
	for last := uint64(0); ; {
		if seq := s.cursor.Acked() + 1; seq != last {
			last = s.look(seq)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// look reads when an entry was taken in. It returns 0 when that has to be asked again.
func (s *source) look(seq uint64) uint64 {
	head, err := s.log.ReadHead(seq, timedBytes)
	env, _, perr := parseEnvelope(head.Data)
	if err != nil || perr != nil || env.accepted.IsZero() {
		s.oldest.Store(0)
		return 0
	}
	s.oldest.Store(env.accepted.UnixNano())
	return seq
}
