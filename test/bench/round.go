package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/load"
	"github.com/sluice-gateway/sluice/test/bench/procs"
	"github.com/sluice-gateway/sluice/test/bench/tally"
)

const (
	// quiet is how long nothing has to arrive, after everything has been sent, until what is missing counts as lost.
	// Longer than the 1 s after which the far side of a link gives up a hole.
	quiet = 3 * time.Second
	// roundEstimate is what a further round of a quick run may take; without that much time left it is not begun.
	roundEstimate = 7 * time.Second
	// manyConnections is the second number of connections that TLS is measured with (docs/performance.md).
	manyConnections = 100
)

// contestant starts a side.
type contestant struct {
	name  string
	start func(context.Context, *lab) (*side, error)
}

// round is one measurement of one side.
type round struct {
	side    string
	sent    load.Sent
	arrived tally.Result
	took    time.Duration // from the first write to the last growth of the file
	used    procs.Usage   // by all processes of the side
	figures figures
}

// payload is how many bytes were delivered, each message once.
func (r round) payload() float64  { return float64(r.arrived.Distinct) * load.MessageBytes }
func (r round) rate() float64     { return float64(r.arrived.Distinct) / r.took.Seconds() }
func (r round) mbps() float64     { return r.payload() / 1e6 / r.took.Seconds() }
func (r round) cpuPerGB() float64 { return r.used.CPU.Seconds() / (r.payload() / 1e9) }
func (r round) wire() float64     { return float64(r.figures.wireBytes) / r.payload() }
func (r round) lost() float64     { return float64(r.arrived.Missing(r.sent.Count)) }
func (r round) peakMB() float64   { return float64(r.used.Peak) / 1e6 }

// measure runs what was asked for, the sides alternately, and fills the report.
func measure(ctx context.Context, l *lab, r *report, out io.Writer) error {
	sides := []contestant{{"sluice", startSluice}}
	if l.rsyslogd != "" {
		sides = append(sides, contestant{"rsyslog", startRsyslog})
	}
	for _, p := range l.parts(r) {
		for i := range p.rounds {
			for _, c := range sides {
				if err := l.oneOf(ctx, p, i+1, c, r, out); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// part is one kind of measurement.
type part struct {
	name   string
	job    job
	rounds int
	tail   bool // times are taken
	into   *[]round
}

// parts are what was asked for.
func (l *lab) parts(r *report) []part {
	tls := job{kind: "tls", ca: l.certFile, count: l.options.count, connections: l.connections, seed: l.seed}
	many := tls
	many.connections = manyConnections
	times := job{kind: "tls", ca: l.certFile, count: uint64(float64(l.latencyRate) * l.latencyFor.Seconds()), rate: l.latencyRate, connections: 1, seed: l.seed}
	udp := job{kind: "udp", count: uint64(float64(l.udpRate) * l.udpFor.Seconds()), rate: l.udpRate, seed: l.seed}
	rounds := l.rounds
	if l.quick {
		rounds = 1
	}
	var parts []part
	for _, x := range []struct {
		wanted bool
		part   part
	}{
		{l.tls, part{"tls", tls, l.rounds, false, &r.tls}},
		{l.many, part{"tls-many", many, rounds, false, &r.many}},
		{l.latency, part{"latency", times, rounds, true, &r.latency}},
		{l.udp, part{"udp", udp, rounds, false, &r.udp}},
	} {
		if x.wanted {
			parts = append(parts, x.part)
		}
	}
	return parts
}

// oneOf runs one round of one side. What the time of a quick run does not allow is left out, and that is said.
func (l *lab) oneOf(ctx context.Context, p part, number int, c contestant, r *report, out io.Writer) error {
	if l.quick && time.Until(l.deadline) < roundEstimate {
		fmt.Fprintf(out, "%s round %d of %s left out: no time left\n", p.name, number, c.name)
		return nil
	}
	got, err := l.round(ctx, c, p.job, p.tail)
	if err != nil && l.quick && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		fmt.Fprintf(out, "%s round %d of %s broken off: no time left\n", p.name, number, c.name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s round %d of %s: %w", p.name, number, c.name, err)
	}
	fmt.Fprintf(out, "%s round %d: %s\n", p.name, number, got)
	*p.into = append(*p.into, got)
	r.setup.note(got)
	return nil
}

// round measures one side once, from its start in a fresh directory to its end.
func (l *lab) round(ctx context.Context, c contestant, j job, tail bool) (r round, err error) {
	s, err := c.start(ctx, l)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	j.address = s.tls
	if j.kind == "udp" {
		j.address = s.udp
	}
	if tail {
		j.tail = s.output
	}
	g, err := startGenerator(ctx, j)
	if err != nil {
		return r, err
	}
	r, err = l.watched(ctx, s, g, j.count)
	if err = errors.Join(err, g.release()); err != nil {
		return r, err
	}
	r.side = c.name
	r.arrived, err = tally.Count(s.output, l.frames, r.sent.Count)
	return r, err
}

// watched lets the generator send and follows the output until everything is there, or nothing comes any more.
func (l *lab) watched(ctx context.Context, s *side, g *generator, count uint64) (round, error) {
	var r round
	before, err := procs.Sample(s.pids()...)
	if err != nil {
		return r, err
	}
	finished := make(chan struct{})
	var growth tally.Growth
	var watchErr error
	var wg sync.WaitGroup
	wg.Go(func() { growth, watchErr = tally.Watch(ctx, s.output, count, finished, quiet) })
	r.sent, err = g.run()
	close(finished)
	wg.Wait()
	if err = errors.Join(err, watchErr); err != nil {
		return r, err
	}
	after, err := procs.Sample(s.pids()...)
	if err != nil {
		return r, err
	}
	r.took, r.used = growth.Last.Sub(r.sent.First), after.Since(before)
	for i, role := range s.roles {
		r.used.Each[i].Name = role
	}
	if s.figures != nil {
		r.figures, err = s.figures(ctx)
	}
	return r, err
}

// String is a round in one line, as it is printed while the others still run.
func (r round) String() string {
	text := fmt.Sprintf("%s %.0f events/s, %.1f MB/s, %.2f CPU s/GB, lost %.0f of %d, twice %d, altered %d", r.side, r.rate(), r.mbps(), r.cpuPerGB(), r.lost(), r.sent.Count, r.arrived.Twice, r.arrived.Altered)
	if len(r.used.Each) > 1 {
		text += " (" + r.shares() + ")"
	}
	if r.figures.wireBytes > 0 {
		text += fmt.Sprintf(", link %.2f bytes per byte, %d gaps, %d blocks repaired, %d frames dropped by the kernel", r.wire(), r.figures.gaps, r.figures.repaired, r.figures.kernelDrops)
	}
	if r.figures.counted > 0 {
		text += fmt.Sprintf(", %d lost by its own count", r.figures.counted)
	}
	if r.figures.gaps > 0 {
		text += ", the ends of the link say " + r.figures.detail
	}
	if t := r.sent.Times; t != nil {
		text += fmt.Sprintf(", p50 %s, p99 %s, max %s", ms(t.P50), ms(t.P99), ms(t.Max))
	}
	return text
}

// shares says which process used how much of the CPU time, in seconds per GB.
func (r round) shares() string {
	var parts []string
	for _, p := range r.used.Each {
		parts = append(parts, fmt.Sprintf("%s %.1f", p.Name, p.CPU.Seconds()/(r.payload()/1e9)))
	}
	return strings.Join(parts, ", ")
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }
