package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// gapRetry is the pause before a gap that found no room is written again (ours).
const gapRetry = 200 * time.Millisecond

// far is where one session of a link delivers: batches and gaps go to the spool of the link in stream order, and the
// position with each, so that a restart continues exactly behind the newest durable entry.
//
//	recv ─► Deliver, Gap (one goroutine) ─► spool queue ─► durable or dropped ─► recv names what was dropped: Gap
type far struct {
	origin  *origin
	log     *slog.Logger
	counts  *linkCounts
	routed  map[string]bool            // receivers that a sink of this node takes
	current func(diode.Class) [16]byte // epoch that the near side is in; nil = not known
	books   *books                     // nil in tests

	pos     []diode.Position // by class; of the goroutine that delivers
	pending atomic.Int64     // batches that the spool has not decided on
	decided chan struct{}    // holds a token when one was decided
	newest  atomic.Int64     // when the newest batch came, Unix nanoseconds

	mu   sync.Mutex // guards lost
	lost []totals   // by class
}

// linkCounts are the counters of a receiving link since the core started.
type linkCounts struct {
	dropped dropCounts
	told    sync.Map // reasons of drops that were logged
}

func newFar(o *origin, ps []diode.Position, lost []totals, counts *linkCounts, log *slog.Logger) *far {
	f := &far{
		origin: o, log: log, counts: counts, pos: make([]diode.Position, len(o.logs)), lost: lost, decided: make(chan struct{}, 1),
	}
	for _, p := range ps {
		f.pos[p.Class] = p
	}
	return f
}

// Deliver appends one batch. The data belong to the spool until done.
func (f *far) Deliver(ctx context.Context, b diode.Batch, done func(error)) error {
	if int(b.Class) >= len(f.pos) {
		return fmt.Errorf("class %d: this node knows %d", b.Class, len(f.pos)) // upon which it is a gap
	}
	f.look(b)
	f.newest.Store(time.Now().UnixNano())
	env := envelope{
		kind: kindLink, late: b.Late, resent: b.Resent, accepted: b.Time, arrived: b.Arrived,
		id: b.BatchID, sumBefore: b.SumBefore, totals: f.lost[b.Class],
	}
	next := f.pos[b.Class]
	if !b.Late {
		next = diode.Position{Epoch: b.Epoch, Class: b.Class, Seq: b.Seq, SumAfter: b.SumBefore + uint64(b.Weight)}
	}
	env.position = next
	f.pending.Add(1)
	err := f.origin.log(sdk.Class(b.Class)).AppendAsync(ctx, b.Weight, func(seq uint64, err error) { f.settle(b, seq, err, done) }, env.encode(), b.Data)
	if err != nil {
		f.pending.Add(-1)
		return err
	}
	f.pos[b.Class] = next
	return nil
}

// settle takes in what the spool decided.
func (f *far) settle(b diode.Batch, seq uint64, err error, done func(error)) {
	switch {
	case err == nil:
		f.books.stored(b, seq)
	case errors.Is(err, spool.ErrDropped):
		err = &notStored{reason: dropReason(err), cause: err}
		f.drop(dropReason(err), "batch from the link dropped: the spool does not take it", b)
	}
	done(err)
	f.pending.Add(-1)
	select {
	case f.decided <- struct{}{}:
	default:
	}
}

// notStored tells the link why a batch is missing.
type notStored struct {
	reason string
	cause  error
}

func (e *notStored) Error() string { return e.reason + ": " + e.cause.Error() }
func (e *notStored) Unwrap() error { return e.cause }

// GapReason is the reason of the gap.
func (e *notStored) GapReason() string { return e.reason }

// dropReason tells a full disk, quota or spool from a disk that does not work.
func dropReason(err error) string {
	var no unix.Errno
	if errors.As(err, &no) && no != unix.ENOSPC && no != unix.EDQUOT {
		return diode.ReasonFarIO
	}
	return diode.ReasonFarFull
}

// look counts what arrives whole and will reach nobody: it is kept like the rest, but every sink passes it over.
func (f *far) look(b diode.Batch) {
	h, _, err := sdk.ParseHeader(b.Data)
	switch {
	case err != nil:
		f.drop("unreadable-batch", "batch from the link cannot be read: no sink gets it", b)
	case !f.routed[h.Receiver]:
		f.drop("no-sink: "+h.Receiver, "no sink of this node takes what came from the link: is its configuration the same as the near side's?", b)
	}
}

// drop counts a batch, and logs the first of each reason.
func (f *far) drop(reason, text string, b diode.Batch) {
	reason = f.counts.dropped.add(reason, 1, uint64(b.Weight))
	if _, before := f.counts.told.LoadOrStore(reason, true); !before {
		f.log.Warn(text, "reason", reason, "batch", b.String(), "records", b.Weight)
	}
}

// settled waits until the spool has decided on everything: only then its newest entry says where the link is.
func (f *far) settled(ctx context.Context) error {
	for f.pending.Load() > 0 {
		select {
		case <-f.decided:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Gap records a hole in its place in the stream. A full spool makes it wait: a loss must be written down before anything
// behind it is delivered.
func (f *far) Gap(ctx context.Context, g diode.Gap) error {
	if int(g.Class) >= len(f.pos) {
		// There is no log to write it to, and the other classes must go on.
		f.counts.dropped.add(fmt.Sprintf("unknown class %d", g.Class), span(g), g.Weight)
		f.log.Error("the near side sends a class that this node does not know: update this node", "class", g.Class)
		return nil
	}
	for {
		err := f.appendGap(ctx, g)
		if !errors.Is(err, spool.ErrDropped) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(gapRetry):
		}
	}
}

func (f *far) appendGap(ctx context.Context, g diode.Gap) error {
	lost := f.lost[g.Class]
	lost.Batches += span(g)
	lost.Records += g.Weight
	env := envelope{kind: kindGap, id: diode.BatchID{Epoch: g.Epoch, Class: g.Class, Seq: g.First}, gap: g, totals: lost}
	env.position, env.sumBefore = f.after(g), g.SumAfter-g.Weight
	seq, err := f.origin.log(sdk.Class(g.Class)).Append(ctx, 0, env.encode())
	if err != nil {
		return err
	}
	f.books.declared(g, seq)
	f.pos[g.Class] = env.position
	f.mu.Lock()
	f.lost[g.Class] = lost
	f.mu.Unlock()
	f.log.Warn("gap on the link", "first", g.First, "last", g.Last, "records", g.Weight, "records_known", g.WeightKnown, "reason", g.Reason)
	return nil
}

// span is the number of batches in a gap, as far as it is known.
func span(g diode.Gap) uint64 {
	if g.Last < g.First {
		return 0
	}
	return g.Last - g.First + 1
}

// after is the position behind a gap. What lies behind the position already, and the unknown tail of an epoch that has
// ended, does not move it; neither does a gap of an epoch that is over, which may be named after its successor began.
func (f *far) after(g diode.Gap) diode.Position {
	p := f.pos[g.Class]
	switch {
	case g.Last == 0, p.Epoch == g.Epoch && g.Last <= p.Seq:
		return p
	case p.Epoch == g.Epoch:
	case p.Seq > 0 && (f.current == nil || f.current(g.Class) != g.Epoch):
		return p
	default:
		p = diode.Position{Epoch: g.Epoch, Class: g.Class}
	}
	p.Seq, p.SumAfter = g.Last, p.SumAfter+g.Weight
	return p
}

func (f *far) totals() totals {
	f.mu.Lock()
	defer f.mu.Unlock()
	var t totals
	for _, l := range f.lost {
		t.Batches += l.Batches
		t.Records += l.Records
	}
	return t
}
