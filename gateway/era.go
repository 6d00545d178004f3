package gateway

import (
	"context"

	"github.com/sluice-gateway/sluice/gateway/spool"
)

const (
	// maxEras bounds the epochs that are looked up in one log; each is a repair or a loss of its disk (ours).
	maxEras = 64
	// damagedRun is how many unreadable entries a look-up passes to find a readable one (ours).
	damagedRun = 64
)

// era is the part of an epoch that a log keeps.
type era struct {
	epoch       [16]byte
	first, last uint64 // last below first: nothing of it is kept
}

// erasOf lists the epochs of a log, the newest first. Sequences go on over a change of epoch, so each is one range. What
// cannot be read any more is in no epoch: zero.
func erasOf(ctx context.Context, log *spool.Log) ([]era, error) {
	first, next, _ := log.Bounds()
	now := epochOf(log)
	out := []era{{epoch: now.ID, first: max(first, now.Start), last: next - 1}}
	before := now.Start - 1
	if before > 0 && before < first {
		return append(out, era{epoch: now.Prev, first: first, last: before}), nil
	}
	for before >= first && len(out) < maxEras {
		e := era{epoch: epochAt(log, first, before), first: beginOf(log, first, before), last: before}
		out = append(out, e)
		before = e.first - 1
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// beginOf returns the first entry, not below first, of the epoch that last is in.
func beginOf(log *spool.Log, first, last uint64) uint64 {
	epoch := epochAt(log, first, last)
	floor := first
	for first < last {
		middle := first + (last-first)/2
		if epochAt(log, floor, middle) == epoch {
			last = middle
		} else {
			first = middle + 1
		}
	}
	return last
}

// epochAt is the epoch of an entry, or of the nearest one below it that can be read, but not below first.
func epochAt(log *spool.Log, first, seq uint64) [16]byte {
	for i := uint64(0); i < damagedRun && seq-i >= max(first, 1); i++ {
		if e, err := log.Read(seq-i, nil); err == nil {
			return e.Epoch
		}
	}
	return [16]byte{}
}
