package main

import (
	"context"
	"crypto/hpke"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// This file alone knows the interfaces of both ends of the link.

const (
	linkName = "bench"
	linkKey  = 1
)

// errNotRetained is the answer to a batch that only existed once.
var errNotRetained = errors.New("no longer retained")

// benchKeys are the pairing of both ends: no secret, so that each process can make it.
func benchKeys() (psk [32]byte, private hpke.PrivateKey, err error) {
	copy(psk[:], "no secret, for a bench of a link")
	private, err = frame.KEM().NewPrivateKey(psk[:])
	return psk, private, err
}

func benchEpoch() diode.Epoch {
	e := diode.Epoch{Start: 1}
	copy(e.ID[:], "bench of a link.")
	return e
}

// linkSettings are what a row says of the link.
type linkSettings struct {
	Rate       uint64  // bits per second on the wire
	MTU        int     // bytes
	Parity     float64 // least parity as a share of data
	DesignLoss float64
	Interleave int
	StateDir   string
}

// linkReport is what both ends count.
type linkReport struct {
	Shape        string // of full blocks, and of a shard
	Segmentation bool
	Batches      uint64
	Gaps         uint64
	Repaired     uint64 // blocks
	Failed       uint64 // blocks
	KernelDrops  uint64 // datagrams
	Buffer       int    // bytes granted for receiving
	Overload     uint64
	Frames       uint64
	Surplus      uint64 // frames that were not opened, because their block was complete
}

// batchSource gives batches 1, 2, 3 …; the weight of a batch is its length.
type batchSource interface {
	// next waits for batch seq and writes it to buf.
	next(ctx context.Context, seq uint64, buf []byte) ([]byte, error)
	// again gives a batch that next gave before.
	again(seq uint64, buf []byte) ([]byte, error)
	// before is the sum of the weights of the batches before seq.
	before(seq uint64) uint64
	// bounds gives the number of the last batch there is now.
	last() uint64
}

// batchSink takes what arrives, in order except for late ones.
type batchSink interface {
	batch(seq uint64, data []byte, sumBefore uint64, weight uint32, late bool) error
	gap(first, last, weight uint64, known bool)
}

// sendLink sends what the source gives until ctx ends.
func sendLink(ctx context.Context, conn *net.UDPConn, c linkSettings, from batchSource) (linkReport, error) {
	psk, private, err := benchKeys()
	if err != nil {
		return linkReport{}, err
	}
	s, err := send.New(send.Config{
		Link: linkName, PSK: psk, KeyID: linkKey, Public: private.PublicKey(), Conn: conn, StateDir: c.StateDir,
		RateBits: c.Rate, MTU: c.MTU, Parity: c.Parity, DesignLoss: c.DesignLoss, Interleave: c.Interleave,
		Classes: map[diode.Class]send.ClassConfig{diode.Bulk: {Source: &linkSource{from: from}, Epoch: benchEpoch()}},
	})
	if err != nil {
		return linkReport{}, err
	}
	err = s.Run(ctx)
	st := s.Stats()
	return linkReport{
		Shape: shapeText(st.Classes[diode.Bulk].Data, st.Classes[diode.Bulk].Parity, st.ShardBytes), Segmentation: st.Segmentation, Batches: st.Batches, Frames: st.Frames,
	}, err
}

// receiveLink hands over what arrives until ctx ends.
func receiveLink(ctx context.Context, conn *net.UDPConn, c linkSettings, to batchSink) (linkReport, error) {
	psk, private, err := benchKeys()
	if err != nil {
		return linkReport{}, err
	}
	r, err := recv.New(recv.Config{
		Paths: []recv.Path{{Link: linkName, Keys: []recv.Key{{ID: linkKey, PSK: psk, Private: private}}, Conn: conn, StateDir: c.StateDir}},
		Sink:  linkSink{to},
	})
	if err != nil {
		return linkReport{}, err
	}
	err = r.Run(ctx)
	st := r.Stats()
	return linkReport{
		Batches: st.Batches, Gaps: st.Gaps, Repaired: st.BlocksRepaired, Failed: st.BlocksFailed, KernelDrops: st.KernelDrops,
		Buffer: st.Paths[0].ReceiveBuffer, Overload: st.Overload, Frames: st.Accepted, Surplus: st.Surplus,
	}, err
}

// linkSource is a send.Source over a batchSource.
type linkSource struct {
	from batchSource
	seq  uint64
}

func (s *linkSource) Next(ctx context.Context, buf []byte) (diode.Batch, error) {
	data, err := s.from.next(ctx, s.seq+1, buf)
	if err != nil {
		return diode.Batch{}, err
	}
	s.seq++
	return s.wrap(s.seq, data), nil
}

func (s *linkSource) Read(seq uint64, buf []byte) (diode.Batch, error) {
	data, err := s.from.again(seq, buf)
	return s.wrap(seq, data), err
}

func (s *linkSource) wrap(seq uint64, data []byte) diode.Batch {
	return diode.Batch{
		BatchID: diode.BatchID{Epoch: benchEpoch().ID, Class: diode.Bulk, Seq: seq},
		Weight:  uint32(len(data)), SumBefore: s.from.before(seq), Time: time.Now(), Data: data,
	}
}

func (s *linkSource) Sent(uint64) {}

func (s *linkSource) Bounds() (first, next, sum uint64) {
	next = s.from.last() + 1
	return 1, next, s.from.before(next)
}

// linkSink is a recv.Sink over a batchSink.
type linkSink struct{ to batchSink }

func (s linkSink) Deliver(_ context.Context, b diode.Batch, done func(error)) error {
	if err := s.to.batch(b.Seq, b.Data, b.SumBefore, b.Weight, b.Late); err != nil {
		return err
	}
	done(nil)
	return nil
}

func (s linkSink) Gap(_ context.Context, g diode.Gap) error {
	s.to.gap(g.First, g.Last, g.Weight, g.WeightKnown)
	return nil
}

func shapeText(data, parity, shard int) string {
	return fmt.Sprintf("%d+%d of %d B", data, parity, shard)
}
