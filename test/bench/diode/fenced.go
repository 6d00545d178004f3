package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/fence"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// fencedPrefix begins the line of a run, for who started this program.
const fencedPrefix = "RUN "

// fencedRun is one run as it is told.
type fencedRun struct {
	Fenced   bool    `json:"fenced"`
	MBps     float64 `json:"mb_per_s"`
	CPUPerGB float64 `json:"cpu_s_per_gb"` // ksoftirqd included: the drops may run there
	Intact   bool    `json:"intact"`
	Rate     uint64  `json:"rate"`
}

// measureFenced alternates runs without a fence and with one at both ends; which begins changes from run to run.
func (l *lab) measureFenced(ctx context.Context) error {
	if err := errors.Join(l.returnPath(ctx, false), l.wire.set(ctx, loss{})); err != nil {
		return err
	}
	x := l.throughput()[0]
	if err := l.prepare(ctx, x); err != nil {
		return err
	}
	rate, err := l.search(ctx, x)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "link: rate %d Mbit/s on the wire\n", rate/1e6)
	// The table that stands for a wire without a way back is not part of what is compared.
	if err := l.returnPath(ctx, true); err != nil {
		return err
	}
	for i := range l.runs {
		for _, with := range []bool{i%2 == 1, i%2 == 0} {
			if err := l.tell(ctx, x, rate, with); err != nil {
				return err
			}
		}
	}
	return nil
}

// tell measures one run and prints it.
func (l *lab) tell(ctx context.Context, x row, rate uint64, with bool) (err error) {
	if with {
		up, err := l.fences(x.path)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, up.remove()) }()
	}
	c, err := l.ours(x, rate, l.size)
	if err != nil {
		return err
	}
	r, err := l.one(ctx, x.path, c)
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "link, fence %t: %s\n", with, r)
	line, err := json.Marshal(fencedRun{with, r.mbps(), r.cpuPerGB() + r.softPerGB(), r.intact, rate})
	if err != nil {
		return err
	}
	fmt.Fprintf(l.out, "%s%s\n", fencedPrefix, line)
	return nil
}

// standing is the fence of one end.
type standing struct {
	in    *netlab.Namespace
	table *fence.Table
	fence *fence.Fence
}

type fences []standing

// fences puts up the fence of a sending end and of a receiving one.
func (l *lab) fences(p path) (fences, error) {
	flow := fence.Flow{Source: p.nearAddr, Dest: netip.AddrPortFrom(p.toAddr, linkPort)}
	tx := fence.Target{Index: l.near.Index(p.nearIf), Name: p.nearIf, MAC: l.near.MAC(p.nearIf), Role: guard.DiodeTX, Send: []fence.Flow{flow}}
	rx := fence.Target{Index: l.far.Index(p.farIf), Name: p.farIf, MAC: l.far.MAC(p.farIf), Role: guard.DiodeRX, Receive: []fence.Flow{flow}}
	var out fences
	for _, end := range []struct {
		in   *netlab.Namespace
		plan fence.Plan
	}{
		{l.near, fence.Plan{Targets: []fence.Target{tx}}},
		{l.far, fence.Plan{Targets: []fence.Target{rx}, Ports: []guard.Port{{Network: "udp", Port: linkPort}}}},
	} {
		s := standing{in: end.in}
		err := end.in.Do(func() (err error) {
			if s.table, err = fence.OpenTable(); err != nil {
				return err
			}
			if s.fence, err = fence.New(fence.Options{Table: s.table}); err != nil {
				return errors.Join(err, s.table.Close())
			}
			return s.fence.Apply(end.plan)
		})
		if s.fence != nil {
			out = append(out, s)
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", end.in.Name, err), out.remove())
		}
		// What set the interface down took its neighbour along.
		l.near.StaticNeighbour(p.nearIf, p.toAddr, l.far.MAC(p.farIf))
		l.far.StaticNeighbour(p.farIf, p.nearAddr, l.near.MAC(p.nearIf))
	}
	return out, nil
}

// remove takes every drop away.
func (f fences) remove() error {
	var errs []error
	for _, s := range f {
		errs = append(errs, s.in.Do(func() error {
			return errors.Join(s.fence.Remove(), s.fence.Close(), s.table.Close())
		}))
	}
	return errors.Join(errs...)
}
