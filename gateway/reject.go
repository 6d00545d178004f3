package gateway

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// deadLetterRetry is the pause after the dead-letter log could not be written (ours).
const deadLetterRetry = time.Second

// deadLetters puts rejected records away, with one sync per delivery. mu is held.
func (f *feed) deadLetters(ctx context.Context, rejected []sdk.Rejection) error {
	rs := slices.Clone(rejected)
	slices.SortStableFunc(rs, func(a, b sdk.Rejection) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Record, b.Record))
	})
	for len(rs) > 0 {
		n := slices.IndexFunc(rs, func(r sdk.Rejection) bool { return r.Number != rs[0].Number })
		if n < 0 {
			n = len(rs)
		}
		if err := f.rejectOf(ctx, rs[:n]); err != nil {
			return err
		}
		rs = rs[n:]
	}
	return nil
}

// rejectOf puts records of one delivery away, each once, however often the sink names it.
func (f *feed) rejectOf(ctx context.Context, rs []sdk.Rejection) error {
	i := slices.IndexFunc(f.outstanding, func(p *parcel) bool { return p.delivery.Number == rs[0].Number })
	if i < 0 {
		return fmt.Errorf("sink rejected record %d of delivery %d, which is not outstanding", rs[0].Record, rs[0].Number)
	}
	p := f.outstanding[i]
	if last := rs[len(rs)-1].Record; last >= p.records {
		return fmt.Errorf("sink rejected record %d of delivery %d, which has %d", last, rs[0].Number, p.records)
	}
	rs = slices.CompactFunc(rs, func(a, b sdk.Rejection) bool { return a.Record == b.Record })
	rs = slices.DeleteFunc(rs, func(r sdk.Rejection) bool { return p.rejected[r.Record] })
	if len(rs) == 0 {
		return nil
	}
	if err := f.putAway(ctx, p, rs); err != nil {
		return err
	}
	if p.rejected == nil {
		p.rejected = map[uint32]bool{}
	}
	for _, r := range rs {
		p.rejected[r.Record] = true
		f.counts.dropped.add("rejected: "+string(reasonOf(r).Code), 0, 1)
	}
	return nil
}

// putAway tries until the records are on disk: a full disk is a state, and what is behind them waits.
func (f *feed) putAway(ctx context.Context, p *parcel, rs []sdk.Rejection) error {
	for {
		err := f.reject(p.delivery.Data, rs)
		if err == nil {
			f.stuck(nil)
			return nil
		}
		f.stuck(err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(deadLetterRetry):
		}
	}
}

// reasonOf is the sink's reason, or the word for none.
func reasonOf(r sdk.Rejection) *sdk.Error {
	if r.Err == nil {
		return &sdk.Error{Code: sdk.CodeInternal, Detail: "no reason given"}
	}
	return r.Err
}
