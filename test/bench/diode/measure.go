package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// enough says whether the time of a quick run allows another so long.
func (l *lab) enough(d time.Duration) bool { return !l.quick || time.Until(l.deadline) > d }

// measure runs what was asked for and fills the report as it goes.
func (l *lab) measure(ctx context.Context, r *report) error {
	if err := errors.Join(l.returnPath(ctx, false), l.wire.set(ctx, loss{})); err != nil {
		return err
	}
	if l.quick && l.only == "" {
		return l.measureQuick(ctx, r)
	}
	for _, x := range l.throughput() {
		if !l.wants(x.name) {
			continue
		}
		if err := l.rowOf(ctx, x, l.runs, r); err != nil {
			return err
		}
	}
	if err := l.yardsticks(ctx, r, l.runs); err != nil {
		return err
	}
	if x := l.beyondRepair(); l.wants(x.name) {
		if err := l.broken(ctx, x, r); err != nil {
			return err
		}
	}
	for _, x := range l.latency() {
		if !l.wants(x.name) {
			continue
		}
		if err := l.times(ctx, x, l.runs, r); err != nil {
			return err
		}
	}
	if l.wants(idleName) {
		return l.idleLink(ctx, r)
	}
	return nil
}

// What a part of a quick run may take; without that much time left it is not begun.
const (
	quickRow     = 7 * time.Second
	quickLatency = 5 * time.Second
)

// measureQuick measures the first row, the machine's limit, one row with loss and one of times.
func (l *lab) measureQuick(ctx context.Context, r *report) error {
	rows := l.throughput()
	if err := l.rowOf(ctx, rows[0], l.runs, r); err != nil {
		return err
	}
	if err := l.raw(ctx, 1500, 1, r); err != nil {
		return err
	}
	if x := rows[4]; l.enough(quickRow) {
		x.rate = uint64(float64(r.rows[0].rate) * rateDown)
		if err := l.rowOf(ctx, x, 1, r); err != nil {
			return err
		}
	}
	if x := l.latency()[1]; l.enough(quickLatency) {
		return l.times(ctx, x, 1, r)
	}
	return nil
}

// rowOf measures the contestants of a row alternately.
func (l *lab) rowOf(ctx context.Context, x row, runs int, r *report) error {
	fmt.Fprintf(l.out, "\n%s\n", x.name)
	if err := l.prepare(ctx, x); err != nil {
		return err
	}
	rate, err := l.search(ctx, x)
	if err != nil {
		return err
	}
	sides, err := l.sides(x, rate)
	if err != nil {
		return err
	}
	res := &result{row: x, rate: rate}
	r.rows = append(r.rows, res)
	for range runs {
		for _, c := range sides {
			got, err := l.limited(ctx, x, c)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", x.name, c.name, err)
			}
			fmt.Fprintln(l.out, "  "+got.String())
			res.runs = append(res.runs, got)
		}
	}
	if !x.path.lossy {
		return nil
	}
	return l.checkWire(ctx, x)
}

// sides are the contestants of a row.
func (l *lab) sides(x row, rate uint64) ([]contestant, error) {
	c, err := l.ours(x, rate, l.size)
	if err != nil {
		return nil, err
	}
	sides := []contestant{c}
	if c, ok := l.udpcast(x); ok {
		sides = append(sides, c)
	}
	if c, ok := l.guest(x); ok {
		sides = append(sides, c)
	}
	return sides, nil
}

// limited runs a contestant, held to its rate when it has none of its own.
func (l *lab) limited(ctx context.Context, x row, c contestant, changes ...change) (r run, err error) {
	if c.limit == "" {
		return l.one(ctx, x.path, c, changes...)
	}
	if _, err := inside(ctx, l.near, nil, "tc", "qdisc", "replace", "dev", x.path.nearIf, "root", "tbf", "rate", c.limit, "burst", "256kb", "limit", "16mb"); err != nil {
		return r, err
	}
	defer func() {
		_, e := inside(context.WithoutCancel(ctx), l.near, nil, "tc", "qdisc", "del", "dev", x.path.nearIf, "root")
		err = errors.Join(err, e)
	}()
	return l.one(ctx, x.path, c, changes...)
}

// checkWire looks at the counters of the wire after all runs of a row: it must have lost what the row says.
func (l *lab) checkWire(ctx context.Context, x row) error {
	c, err := l.wire.counts(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "  wire: %d of %d frames lost\n", c.lost, c.seen)
	share := float64(c.lost) / max(float64(c.seen), 1)
	// Five standard deviations of the number of losses beside what a probe is allowed.
	slack := probeSlack + 5*math.Sqrt(x.loss.run()/max(x.loss.share()*float64(c.seen), 1))
	if share < x.loss.share()*(1-slack) || share > x.loss.share()*(1+slack) {
		return fmt.Errorf("%s: the wire lost a share of %.4f of %d frames, not %.4f", x.name, share, c.seen, x.loss.share())
	}
	return nil
}

// broken measures what is lost when the wire loses more than can be repaired.
func (l *lab) broken(ctx context.Context, x row, r *report) error {
	fmt.Fprintf(l.out, "\n%s\n", x.name)
	sides, err := l.sides(x, x.hint)
	if err != nil {
		return err
	}
	for range l.runs {
		for _, c := range sides {
			if err := l.prepare(ctx, x); err != nil {
				return err
			}
			got, err := l.limited(ctx, x, c, breakChanges()...)
			if err != nil {
				return fmt.Errorf("%s: %s: %w", x.name, c.name, err)
			}
			fmt.Fprintln(l.out, "  "+got.String())
			r.broken = append(r.broken, got)
		}
	}
	return l.wire.set(ctx, loss{})
}

// times measures how long batches of events take.
func (l *lab) times(ctx context.Context, x row, runs int, r *report) error {
	if err := l.prepare(ctx, x); err != nil {
		return err
	}
	res := &result{row: x, rate: x.hint}
	r.times = append(r.times, res)
	for range runs {
		c, err := l.ours(x, x.hint, 0)
		if err != nil {
			return err
		}
		got, err := l.one(ctx, x.path, c)
		if err != nil {
			return fmt.Errorf("%s: %w", x.name, err)
		}
		res.runs = append(res.runs, got)
	}
	p := res.percentiles()
	fmt.Fprintf(l.out, "%s: %d batches, p50 %s, p99 %s, max %s, lost %d\n", x.name, p.count, ms(p.p50), ms(p.p99), ms(p.max), p.lost)
	return nil
}
