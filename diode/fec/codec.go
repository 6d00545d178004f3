package fec

import (
	"errors"
	"fmt"

	"github.com/klauspost/reedsolomon"

	"github.com/sluice-gateway/sluice/diode/frame"
)

// maxCached bounds the matrices that a codec keeps: a sender uses at most
// ClassicMax small shapes and a few bulk ones.
const maxCached = 128

// ErrTooFew is the answer to a block of which fewer than K shards arrived.
var ErrTooFew = errors.New("fec: too few shards")

type key struct {
	code         frame.Code
	data, parity int
}

// Codec encodes and reconstructs blocks of any shape and keeps the matrices it
// has made. Not safe for concurrent use.
type Codec struct {
	cache map[key]reedsolomon.Encoder
	work  workspace // of all encoders: one works at a time
}

// NewCodec returns an empty codec.
func NewCodec() *Codec { return &Codec{cache: make(map[key]reedsolomon.Encoder)} }

// Encode fills shards[K:] with the parity of shards[:K]. All shards have
// shape.ShardBytes bytes.
func (c *Codec) Encode(code frame.Code, s Shape, shards [][]byte) error {
	enc, err := c.encoder(code, s)
	if err != nil {
		return err
	}
	if err := enc.Encode(shards); err != nil {
		return fmt.Errorf("fec: encode %d+%d: %w", s.Data, s.Parity, err)
	}
	return nil
}

// Reconstruct fills the missing data shards, given as slices of length 0 with
// room for a shard. It answers ErrTooFew when fewer than K shards are there.
// Parity shards that are missing may stay missing.
func (c *Codec) Reconstruct(code frame.Code, s Shape, shards [][]byte) error {
	enc, err := c.encoder(code, s)
	if err != nil {
		return err
	}
	err = enc.ReconstructData(shards)
	if errors.Is(err, reedsolomon.ErrTooFewShards) {
		return fmt.Errorf("%w: %d+%d", ErrTooFew, s.Data, s.Parity)
	}
	if err != nil {
		return fmt.Errorf("fec: reconstruct %d+%d: %w", s.Data, s.Parity, err)
	}
	return nil
}

func (c *Codec) encoder(code frame.Code, s Shape) (reedsolomon.Encoder, error) {
	k := key{code: code, data: s.Data, parity: s.Parity}
	if enc, ok := c.cache[k]; ok {
		return enc, nil
	}
	if err := s.Check(code); err != nil {
		return nil, err
	}
	// One goroutine: the link's stages already run side by side, and a block
	// is encoded in tens of microseconds.
	opts := []reedsolomon.Option{reedsolomon.WithMaxGoroutines(1)}
	if code == frame.CodeLeopard {
		opts = append(opts, reedsolomon.WithLeopardGF(true), reedsolomon.WithWorkAllocator(&c.work))
	} else {
		opts = append(opts, reedsolomon.WithCauchyMatrix())
	}
	enc, err := reedsolomon.New(s.Data, s.Parity, opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %d+%d: %w", ErrShape, s.Data, s.Parity, err)
	}
	if len(c.cache) >= maxCached {
		clear(c.cache)
	}
	c.cache[k] = enc
	return enc, nil
}
