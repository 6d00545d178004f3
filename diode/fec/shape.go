package fec

import (
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/sluice-gateway/sluice/diode/frame"
)

// MaxShards is the number of shards that GF(2^8) can tell apart.
const MaxShards = 256

// ClassicMax is the largest number of data shards of the classic code: above
// it decoding collapses (design measurements: 64+16 decodes at 0.6 GB/s).
const ClassicMax = 64

// ErrShape is wrapped by every complaint about a shape.
var ErrShape = errors.New("fec: bad shape")

// Shape is the shape of a block.
type Shape struct {
	Data       int // K, data shards
	Parity     int // M, parity shards
	ShardBytes int // multiple of 64
}

// Code is the code that a sender uses for this shape.
func (s Shape) Code() frame.Code {
	if s.Data <= ClassicMax {
		return frame.CodeClassic
	}
	return frame.CodeLeopard
}

// Check says whether code can carry the shape.
func (s Shape) Check(code frame.Code) error {
	if s.Data < 1 || s.Parity < 1 || s.Data+s.Parity > MaxShards {
		return fmt.Errorf("%w: %d+%d", ErrShape, s.Data, s.Parity)
	}
	if s.ShardBytes <= 0 || s.ShardBytes%frame.ShardUnit != 0 {
		return fmt.Errorf("%w: shards of %d bytes", ErrShape, s.ShardBytes)
	}
	switch code {
	case frame.CodeClassic:
		return nil
	case frame.CodeLeopard:
		if s.Data+ceilPow2(s.Parity) > MaxShards {
			return fmt.Errorf("%w: leopard %d+%d needs %d shards", ErrShape, s.Data, s.Parity, s.Data+ceilPow2(s.Parity))
		}
		return nil
	default:
		return fmt.Errorf("%w: code %d", ErrShape, code)
	}
}

// Protection is what an operator asks of the code.
type Protection struct {
	Parity     float64 // least ratio of parity to data, 0…1
	DesignLoss float64 // independent loss that a block survives but for 1e-9, 0…0.2
}

// residual is the block failure at design loss that is accepted: one block in
// 1e9 is one in ten days at 1000 blocks a second.
const residual = 1e-9

// Bulk picks the shape of full blocks: the one with least overhead that gives
// the protection.
func (p Protection) Bulk(shardBytes int) (Shape, error) {
	// Leopard wants K + next power of two of M to be at most 256.
	candidates := [...][2]int{{224, 32}, {192, 32}, {128, 32}, {192, 64}, {128, 64}, {128, 128}}
	for _, c := range candidates {
		k, m := c[0], c[1]
		if float64(m) >= p.Parity*float64(k) && failure(k+m, m, p.DesignLoss) <= residual {
			return Shape{Data: k, Parity: m, ShardBytes: shardBytes}, nil
		}
	}
	return Shape{}, fmt.Errorf("%w: no shape for parity %.0f%% at design loss %.1f%%; parity is at most 100%%",
		ErrShape, p.Parity*100, p.DesignLoss*100)
}

// Small gives the parity of a block of k data shards that was closed by the
// timer: max(2, ceil(k·parity), what the design loss needs).
func (p Protection) Small(k int) int {
	m := max(2, int(math.Ceil(float64(k)*p.Parity)))
	limit := MaxShards - k
	if k > ClassicMax {
		limit = 1 << (bits.Len(uint(MaxShards-k)) - 1)
	}
	for m < limit && failure(k+m, m, p.DesignLoss) > residual {
		m++
	}
	return min(m, limit)
}

// failure is the probability that more than m of n shards are lost when each
// is lost independently with probability loss.
func failure(n, m int, loss float64) float64 {
	if loss <= 0 {
		return 0
	}
	sum := 0.0
	for lost := m + 1; lost <= n; lost++ {
		term := math.Exp(logChoose(n, lost) + float64(lost)*math.Log(loss) + float64(n-lost)*math.Log1p(-loss))
		sum += term
		if term < sum*1e-12 {
			break
		}
	}
	return sum
}

func logChoose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}

func ceilPow2(n int) int { return 1 << bits.Len(uint(n-1)) }
