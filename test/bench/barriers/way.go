package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/load"
	"github.com/sluice-gateway/sluice/test/bench/procs"
	"github.com/sluice-gateway/sluice/test/bench/tally"
)

const (
	// quiet is how long nothing has to arrive until what is missing counts as lost. Ours: nothing waits that long here.
	quiet = time.Second
	// roundEstimate is what a further round of a quick run may take; without that much time left it is not begun.
	roundEstimate = 6 * time.Second
)

// round is what one kind of messages took on one side.
type round struct {
	sent    uint64
	arrived tally.Result
	took    time.Duration // from the first write to the last growth of the file
	used    procs.Usage
}

func (r round) payload() float64  { return float64(r.arrived.Distinct) * load.MessageBytes }
func (r round) rate() float64     { return float64(r.arrived.Distinct) / r.took.Seconds() }
func (r round) cpuPerGB() float64 { return r.used.CPU.Seconds() / max(r.payload()/1e9, 1e-9) }
func (r round) lost() float64     { return float64(r.arrived.Missing(r.sent)) }

func (r round) String() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%.0f events/s, %.2f CPU s/GB, lost %.0f of %d, twice %d, altered %d",
		r.rate(), r.cpuPerGB(), r.lost(), r.sent, r.arrived.Twice, r.arrived.Altered)
	for _, p := range r.used.Each {
		if p.CPU > 0 {
			fmt.Fprintf(&text, ", %s %.2f s", p.Name, p.CPU.Seconds())
		}
	}
	return text.String()
}

// measure runs rounds of both sides alternately; which one begins changes from round to round.
func (l *lab) measure(ctx context.Context, r *report, out io.Writer) error {
	for i := range l.rounds {
		sides := []place{l.off, l.on}
		if i%2 == 1 {
			sides = []place{l.on, l.off}
		}
		if l.quick && time.Until(l.deadline) < 2*roundEstimate {
			fmt.Fprintf(out, "round %d left out: no time left\n", i+1)
			return nil
		}
		for _, p := range sides {
			tls, udp, err := l.round(ctx, p, r)
			if err != nil {
				return fmt.Errorf("round %d, %s: %w", i+1, p.name(), err)
			}
			fmt.Fprintf(out, "round %d %-3s tls: %s\nround %d %-3s udp: %s\n", i+1, p.name(), tls, i+1, p.name(), udp)
			if p.guarded {
				r.tls.on, r.udp.on = append(r.tls.on, tls), append(r.udp.on, udp)
			} else {
				r.tls.off, r.udp.off = append(r.tls.off, tls), append(r.udp.off, udp)
			}
		}
	}
	return nil
}

func (p place) name() string {
	if p.guarded {
		return "on"
	}
	return "off"
}

// round measures both kinds on a node that was started for it.
func (l *lab) round(ctx context.Context, p place, r *report) (tls, udp round, err error) {
	n, err := l.startNode(ctx, p)
	if err != nil {
		return tls, udp, err
	}
	defer func() { err = errors.Join(err, n.stop()) }()
	tls, err = l.send(ctx, n, "tls", netip.AddrPortFrom(p.addr, tlsPort), l.options.count, 0)
	if err == nil {
		udp, err = l.send(ctx, n, "udp", netip.AddrPortFrom(p.addr, udpPort), uint64(float64(l.udpRate)*l.udpFor.Seconds()), l.udpRate)
	}
	if err != nil {
		return tls, udp, n.explain(err)
	}
	st, err := n.status(ctx)
	if err != nil {
		return tls, udp, err
	}
	r.note(p, st)
	return tls, udp, nil
}

// send lets the endpoint send and follows the file until everything is there, or nothing comes any more.
func (l *lab) send(ctx context.Context, n *running, kind string, to netip.AddrPort, count, rate uint64) (r round, err error) {
	output := filepath.Join(n.dir, "out", kind+".ndjson")
	g, err := l.startGenerator(ctx, kind, to.String(), count, rate)
	if err != nil {
		return r, err
	}
	before, err := procs.Sample(n.pids()...)
	if err != nil {
		return r, errors.Join(err, g.release())
	}
	finished := make(chan struct{})
	var growth tally.Growth
	var watched error
	var wg sync.WaitGroup
	wg.Go(func() { growth, watched = tally.Watch(ctx, output, count, finished, quiet) })
	sent, err := g.run()
	close(finished)
	wg.Wait()
	if err = errors.Join(err, watched, g.release()); err != nil {
		return r, err
	}
	after, err := procs.Sample(n.pids()...)
	if err != nil {
		return r, err
	}
	r.sent, r.took, r.used = sent.Count, growth.Last.Sub(sent.First), after.Since(before)
	r.arrived, err = tally.Count(output, l.frames, sent.Count)
	return r, err
}
