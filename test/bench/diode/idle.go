package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/procs"
)

const (
	idleName = "idle"
	// idleSpan is how long a link is watched that carries heartbeats only.
	idleSpan = 30 * time.Second
	// idleSettle leaves the start out: keys, the first announcements, memory.
	idleSettle = 2 * time.Second
)

// idle is one measurement of a link without payload.
type idle struct {
	span   time.Duration
	tx, rx time.Duration // CPU time of the processes
}

// percent is a share of one core.
func (x idle) percent(d time.Duration) float64 { return 100 * d.Seconds() / x.span.Seconds() }

func (x idle) String() string {
	return fmt.Sprintf("idle: %.2f %% of a core over %v (tx %.2f, rx %.2f)", x.percent(x.tx+x.rx), x.span, x.percent(x.tx), x.percent(x.rx))
}

// idleLink measures what both ends take while there is nothing to send.
func (l *lab) idleLink(ctx context.Context, r *report) error {
	x := row{name: idleName, mtu: 1500, path: l.direct, link: linkSettings{DesignLoss: 0.01}}
	if err := l.prepare(ctx, x); err != nil {
		return err
	}
	c, err := l.ours(x, gbit, 0)
	if err != nil {
		return err
	}
	rx, tx, err := l.startBoth(ctx, c)
	if err != nil {
		return err
	}
	got, err := watchIdle(ctx, rx, tx)
	rx.stop(0)
	tx.stop(0)
	if err != nil {
		return fmt.Errorf("%s: %w: %s%s", idleName, err, rx.fault(), tx.fault())
	}
	fmt.Fprintln(l.out, "  "+got.String())
	r.idle = append(r.idle, got)
	return nil
}

func watchIdle(ctx context.Context, rx, tx *process) (idle, error) {
	sample := func() (x idle, err error) {
		for _, end := range []struct {
			p    *process
			into *time.Duration
		}{{rx, &x.rx}, {tx, &x.tx}} {
			u, err := procs.Sample(end.p.cmd.Process.Pid)
			if err != nil {
				return x, err
			}
			*end.into = u.CPU
		}
		return x, nil
	}
	if err := pause(ctx, rx, tx, idleSettle); err != nil {
		return idle{}, err
	}
	before, err := sample()
	if err != nil {
		return idle{}, err
	}
	if err := pause(ctx, rx, tx, idleSpan); err != nil {
		return idle{}, err
	}
	after, err := sample()
	return idle{span: idleSpan, tx: after.tx - before.tx, rx: after.rx - before.rx}, err
}

// pause waits while both ends live.
func pause(ctx context.Context, rx, tx *process, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-rx.done:
		return fmt.Errorf("the far end has ended: %v", rx.cmd.ProcessState)
	case <-tx.done:
		return fmt.Errorf("the near end has ended: %v", tx.cmd.ProcessState)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *report) idleTable() string {
	var lines []string
	for i, x := range r.idle {
		lines = append(lines, "| "+strconv.Itoa(i+1)+fmt.Sprintf(" | %v | %.2f %% | %.2f %% |", x.span, x.percent(x.tx), x.percent(x.rx)))
	}
	return table("A link without payload: heartbeats and announcements only", "run | time | tx, of one core | rx", lines)
}
