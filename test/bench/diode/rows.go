package main

import (
	"context"
	"fmt"
	"time"
)

// row is one line of the table.
type row struct {
	name   string
	mtu    int
	path   path
	loss   loss
	link   linkSettings
	fec    string // of udpcast: interleave x redundancy / stripe
	noGRO  bool
	events int    // per second: times are measured instead of throughput
	hint   uint64 // bits per second on the wire that the search for a rate begins with
	rate   uint64 // no search: this rate
}

const gbit = 1_000_000_000

// throughput are the rows of the first table, and udpcast's settings are those with which it did best.
func (l *lab) throughput() []row {
	bulk := func(loss float64, interleave int) linkSettings {
		return linkSettings{Parity: 0.16, DesignLoss: loss, Interleave: interleave}
	}
	return []row{
		{name: "no loss, MTU 1500", mtu: 1500, path: l.direct, link: bulk(0.01, 1), fec: "8x8/128", hint: 5 * gbit},
		{name: "no loss, MTU 1500, GRO off", mtu: 1500, path: l.direct, link: bulk(0.01, 1), noGRO: true, hint: 4 * gbit},
		{name: "no loss, MTU 9000", mtu: 9000, path: l.direct, link: bulk(0.01, 1), fec: "8x8/128", hint: 9 * gbit},
		{name: "no loss, MTU 1500, third namespace", mtu: 1500, path: l.forked, loss: loss{name: "none"}, link: bulk(0.01, 1), hint: 4 * gbit},
		{name: "1 % random", mtu: 1500, path: l.forked, loss: loss{name: "1 % random", percent: 1}, link: bulk(0.01, 1), fec: "8x8/128", hint: 4 * gbit},
		{name: "5 % random", mtu: 1500, path: l.forked, loss: loss{name: "5 % random", percent: 5}, link: bulk(0.04, 1), fec: "8x32/128", hint: 3 * gbit},
		{name: "bursts of 100 in 10,000", mtu: 1500, path: l.forked, loss: loss{name: "100 in 10,000", burst: 100, every: 10_000}, link: bulk(0.01, 16), fec: "8x16/128", hint: 4 * gbit},
		{name: "bursts of 500 in 50,000", mtu: 1500, path: l.forked, loss: loss{name: "500 in 50,000", burst: 500, every: 50_000}, link: bulk(0.01, 16), fec: "8x64/128", hint: 4 * gbit},
	}
}

// latency are the rows of times: batches of events, closed every 5 ms, at a rate that is no bottleneck.
func (l *lab) latency() []row {
	var rows []row
	for _, x := range []loss{{name: "none"}, {name: "1 % random", percent: 1}} {
		for _, events := range []int{10, 1000, 10_000} {
			rows = append(rows, row{
				name: fmt.Sprintf("latency, %d events/s, loss %s", events, x.name), mtu: 1500, path: l.forked, loss: x,
				link: linkSettings{DesignLoss: 0.01}, events: events, hint: gbit,
			})
		}
	}
	return rows
}

// The row beyond repair: the payload takes about six seconds, of which two lose too much.
const (
	breakSpan  = 6 * time.Second
	breakAfter = 2 * time.Second
	breakFor   = 2 * time.Second
)

func (l *lab) beyondRepair() row {
	return row{
		name: "beyond repair", mtu: 1500, path: l.forked, loss: loss{name: "none"}, link: linkSettings{Parity: 0.16, DesignLoss: 0.01, Interleave: 1}, fec: "8x8/128",
		hint: uint64(float64(l.size) * 8 * 1.26 / breakSpan.Seconds()),
	}
}

func breakChanges() []change {
	return []change{
		{breakAfter, loss{name: "30 % random", percent: 30}},
		{breakAfter + breakFor, loss{name: "none"}},
	}
}

// result is a row with its runs.
type result struct {
	row  row
	rate uint64 // of the link, bits per second on the wire
	runs []run
}

// prepare sets the cables up for a row.
func (l *lab) prepare(ctx context.Context, x row) error {
	l.setMTU(x.mtu)
	l.setGRO(x.path, l.gro && !x.noGRO)
	if err := l.wire.set(ctx, loss{}); err != nil {
		return err
	}
	var err error
	if l.uncounted, err = l.gauge(ctx, x.path); err != nil || !x.path.lossy {
		return err
	}
	return l.probe(ctx, x.loss)
}

// Steps of the search for a rate.
const (
	rateUp     = 1.2
	rateDown   = 0.8
	rateBack   = 0.9 // when a whole run shows that short trials were too hopeful
	rateLeast  = gbit / 4
	rateMost   = 60 * gbit
	rateBehind = 0.93 // of the rate: below it the sender itself is the limit
)

// search finds the highest rate at which the far end keeps up, first in short trials, then in a whole run: nothing can ask
// the sender to slow down, so that an operator would do the same.
func (l *lab) search(ctx context.Context, x row) (uint64, error) {
	if l.rate > 0 || x.rate > 0 {
		return max(l.rate, x.rate), nil
	}
	rate, err := l.climb(ctx, x)
	if err != nil {
		return 0, err
	}
	for rate > rateLeast {
		r, err := l.trial(ctx, x, rate, l.size)
		if err != nil || r.clean(x.loss) {
			return rate, err
		}
		rate = min(uint64(float64(rate)*rateBack), max(r.wireRate(x.mtu), rateLeast))
	}
	return rateLeast, nil
}

// climb tries higher rates while nothing is lost, and lower ones until nothing is. It ends where the sender cannot
// follow any more.
func (l *lab) climb(ctx context.Context, x row) (uint64, error) {
	good := uint64(0)
	for rate := x.hint; rate > rateLeast && rate < rateMost; {
		r, err := l.trial(ctx, x, rate, min(l.size, int64(float64(rate)/8/1.26*trialSpan.Seconds())))
		if err != nil {
			return 0, err
		}
		switch {
		case !r.clean(x.loss) && good > 0:
			return good, nil
		case !r.clean(x.loss):
			rate = uint64(float64(rate) * rateDown)
			continue
		case rate < x.hint || float64(r.wireRate(x.mtu)) < rateBehind*float64(rate):
			return rate, nil
		}
		good = rate
		rate = uint64(float64(rate) * rateUp)
	}
	return max(good, rateLeast), nil
}

// clean says that the far end kept up: no socket was full, and where the wire loses nothing, nothing was lost. What the
// wire loses beyond repair is no matter of the rate.
func (r run) clean(x loss) bool {
	return r.drops == 0 && r.far.KernelDrops == 0 && r.far.Overload == 0 && (r.intact || !x.none())
}

// wireRate is how many bits per second were on the wire.
func (r run) wireRate(mtu int) uint64 { return uint64(r.mbps() * 8e6 * r.wireRatio() * linkLayer(mtu)) }

// linkLayer is how much more the wire carries than the bytes that an interface counts: preamble, gap and checksum.
func linkLayer(mtu int) float64 { return 1 + 24/float64(mtu+14) }

func (l *lab) trial(ctx context.Context, x row, rate uint64, size int64) (run, error) {
	c, err := l.ours(x, rate, max(size, batchBytes))
	if err != nil {
		return run{}, err
	}
	r, err := l.one(ctx, x.path, c)
	r.name = fmt.Sprintf("trial at %.2f Gbit/s", float64(rate)/gbit)
	if err == nil {
		fmt.Fprintln(l.out, "  "+r.String())
	}
	return r, err
}
