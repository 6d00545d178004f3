package gateway

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

func acceptError(link, near string, err error) error {
	if errors.Is(err, recv.ErrNoneRefused) {
		return console.Errorf(console.CodeRefused, "%s: %v: nothing has to be accepted; is %s sending, and with the same pairing?", link, err, near)
	}
	return internal(link, err)
}

// TestReport is what the newest self-test showed, and what this node's disk would take.
func (g *Gateway) TestReport(ctx context.Context, name string) (console.TestReport, error) {
	l, err := g.receivingLink(name)
	if err != nil {
		return console.TestReport{}, err
	}
	r, _ := l.group.running()
	if r == nil {
		return console.TestReport{}, console.Errorf(console.CodeNotNow, "%s does not run: see sluice diode doctor %s", name, name)
	}
	t, ok := r.TestReport(name)
	if !ok {
		return console.TestReport{}, console.Errorf(console.CodeRefused, "%s: no test has come: run sluice diode test %s on %s", name, name, l.diode.From)
	}
	out := console.TestReport{Link: name, Started: t.Began.UTC(), Running: !t.Done, Steps: []console.TestStep{}}
	for _, s := range t.Steps {
		out.Steps = append(out.Steps, stepOf(s))
	}
	if t.Done { // while frames come the disk is left alone
		out.SpoolBytesPerSecond, err = g.measureSpool(ctx)
		if err != nil {
			l.log.Warn("the disk was not measured", "error", err)
		}
	}
	out.Recommendation = recommend(t, out.SpoolBytesPerSecond)
	return out, nil
}

func stepOf(s recv.TestStep) console.TestStep {
	return console.TestStep{
		RateBits: s.Rate, Sent: s.Count, Received: s.Received, Lost: s.Lost, Runs: s.Runs, LongestRun: s.LongestRun,
		Reordered: s.Reordered, KernelDrops: s.KernelDrops,
		LatencyP50Seconds: s.P50.Seconds(), LatencyP99Seconds: s.P99.Seconds(), LatencyMaxSeconds: s.Max.Seconds(),
	}
}

// recommend turns what was seen into words of the diode block. What the disk does not take is no use on the wire.
func recommend(t recv.TestReport, disk uint64) console.Recommendation {
	out := console.Recommendation{RateBits: t.Rate, Parity: parityFor(t.DesignLoss), Interleave: t.Interleave}
	switch {
	case t.Rate == 0:
		out.Reason = "at no rate could what was lost be repaired: look at sluice diode doctor on both sides, and try lower rates"
	case disk > 0 && disk*8 < t.Rate:
		out.RateBits = disk * 8
		out.Reason = fmt.Sprintf("the link takes %d Mbit/s, but this node's disk only %d Mbit/s; design_loss = %g", t.Rate/1e6, disk*8/1e6, t.DesignLoss)
	default:
		out.Reason = fmt.Sprintf("the highest rate at which what was lost can be repaired; design_loss = %g", t.DesignLoss)
	}
	return out
}

// parityFor chooses among the shapes of large blocks (diode.md's table: 224+32, 192+32, 128+32, 192+64) the first that
// repairs twice the loss.
func parityFor(loss float64) float64 {
	shapes := []float64{32. / 224, 32. / 192, 32. / 128, 64. / 192}
	for _, parity := range shapes {
		if 2*loss <= parity/(1+parity) {
			return parity
		}
	}
	return shapes[len(shapes)-1]
}

const (
	measureFor   = time.Second
	measureBytes = 256 << 20 // at most, and a tenth of what is free (ours)
	measureEntry = 128 << 10 // bytes; as a batch
)

// measureSpool writes to a spool of its own, on the same disk and in the same way as batches are, and removes it.
func (g *Gateway) measureSpool(ctx context.Context) (bytesPerSecond uint64, err error) {
	if !g.measuring.TryLock() {
		return 0, errors.New("it is being measured")
	}
	defer g.measuring.Unlock()
	limit, err := measureLimit(g.opts.nodeDir())
	if err != nil {
		return 0, err
	}
	dir := filepath.Join(g.opts.nodeDir(), "scratch")
	if err := os.RemoveAll(dir); err != nil { // of a process that was killed
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	log, err := spool.Open(dir, spool.Options{SegmentBytes: g.view.Node.Spool.SegmentSize, QueueBytes: farQueueBytes, WhenFull: spool.DropNew})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return fillFor(ctx, log, limit)
}

// fillFor appends for measureFor and returns what became durable per second.
func fillFor(ctx context.Context, log *spool.Log, limit int64) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, measureFor)
	defer cancel()
	entry := make([]byte, measureEntry)
	var durable atomic.Int64
	done := func(_ uint64, err error) {
		if err == nil {
			durable.Add(measureEntry)
		}
	}
	began := time.Now()
	for appended := int64(0); appended < limit; appended += measureEntry {
		if err := log.AppendAsync(ctx, 1, done, entry); err != nil {
			break // the time is over
		}
	}
	_, err := log.Append(context.WithoutCancel(ctx), 1, entry) // behind all others
	if err != nil && !errors.Is(err, spool.ErrDropped) {
		return 0, err
	}
	return uint64(float64(durable.Load()) / time.Since(began).Seconds()), nil
}
