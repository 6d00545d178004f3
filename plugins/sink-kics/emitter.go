package sinkkics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"golang.org/x/time/rate"

	"github.com/sluice-gateway/sluice/sdk"
)

const (
	// probeEvery is how often a target that does not take data is tried (ours).
	probeEvery = time.Second
	// silentProbes is how many probes in a row must bring no error before silence is believed: hosts limit the rate of
	// their ICMP answers (Linux: one a second and destination behind a burst of six, icmp_ratelimit in icmp(7)), so that
	// a closed port may leave one unanswered, but not three.
	silentProbes = 3
	// tick is the time that one Send's datagrams may be spread over (ours: calls cost more than datagrams).
	tick = 5 * time.Millisecond
)

var errNotTaken = errors.New("the socket took only a part of the datagrams")

// outlet is where acknowledgements and holds go.
type outlet interface {
	Ack(ctx context.Context, through uint64, rejected ...sdk.Rejection) error
	Hold(ctx context.Context, reason string) error
}

// emitter sends a window's datagrams to one target. It is one goroutine's.
//
//	sending ── error ──► holding ── probeEvery ──► probe sent ── settle, no error, three in a row ──► sending
//	                        ▲                          │
//	                        └── error, or not yet three ┘
type emitter struct {
	target string
	dial   func(ctx context.Context) (sdk.PacketSender, error)
	out    outlet
	log    *slog.Logger
	settle time.Duration
	bucket *rate.Limiter
	chunk  int // datagrams of one Send

	window window
	sender sdk.PacketSender // nil until dialled
	batch  [][]byte         // of one Send, used again
	reason string           // of the hold; "" = sending
	retry  time.Time        // of the next probe or dial
	probe  time.Time        // when the probe that was sent may be judged; zero = none was sent
	alone  bool             // the next datagram is sent alone: one was too large
	silent int              // probes in a row that brought no error
}

// run sends until the queue is closed and everything is confirmed, or ctx ends; both return nil.
func (e *emitter) run(ctx context.Context, queue <-chan sdk.Delivery) error {
	defer e.hangUp()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if through, rejected := e.window.done(); through > 0 {
			if err := e.out.Ack(ctx, through, rejected...); err != nil {
				return ended(ctx, err)
			}
		}
		if queue == nil && e.window.empty() {
			return nil
		}
		wait, err := e.step(ctx, time.Now())
		if err != nil || ctx.Err() != nil {
			return ended(ctx, err)
		}
		if wait == 0 {
			continue
		}
		timer.Reset(wait)
		in := queue
		if !e.window.room() {
			in = nil
		}
		select {
		case d, ok := <-in:
			if !ok {
				queue = nil
				continue
			}
			e.window.take(d)
		case <-timer.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// forever is a wait that only a delivery ends.
const forever = time.Hour

// step does one thing, if there is one to be done now, and returns how long nothing else will be.
func (e *emitter) step(ctx context.Context, now time.Time) (time.Duration, error) {
	switch {
	case e.sender == nil:
		return e.connect(ctx, now)
	case e.reason != "":
		return e.try(ctx, now)
	}
	n := min(e.chunk, e.window.waiting())
	if e.alone {
		n = min(n, 1)
	}
	if n > 0 && e.bucket.AllowN(now, n) {
		return 0, e.send(ctx, n, now)
	}
	wait := forever
	if n > 0 {
		missing := float64(n) - e.bucket.TokensAt(now)
		wait = max(time.Duration(missing/float64(e.bucket.Limit())*float64(time.Second)), time.Microsecond)
	}
	due, ok := e.window.due()
	if !ok {
		return wait, nil
	}
	if !due.After(now) {
		return 0, e.ask(ctx, now)
	}
	return min(wait, due.Sub(now)), nil
}

// connect dials. What the core refuses is refused for ever: that ends Run.
func (e *emitter) connect(ctx context.Context, now time.Time) (time.Duration, error) {
	if wait := e.retry.Sub(now); wait > 0 {
		return wait, nil
	}
	s, err := e.dial(ctx)
	if sdk.CodeOf(err) == sdk.CodeRefused {
		return 0, err
	}
	if err != nil {
		return 0, e.fail(ctx, now, err)
	}
	e.sender, e.retry = s, now
	return 0, nil
}

// try sends the first datagram again and again while the target does not take data: nothing is invented for it.
func (e *emitter) try(ctx context.Context, now time.Time) (time.Duration, error) {
	switch {
	case e.window.waiting() == 0 && e.probe.IsZero():
		return 0, e.resume(ctx) // nothing to try with: the next datagram will tell
	case e.probe.IsZero() && now.Before(e.retry):
		return e.retry.Sub(now), nil
	case e.probe.IsZero():
		return 0, e.sendProbe(ctx, now)
	case now.Before(e.probe):
		return e.probe.Sub(now), nil
	}
	return 0, e.judge(ctx, now)
}

func (e *emitter) sendProbe(ctx context.Context, now time.Time) error {
	// Answers to what was sent before the hold may be pending: they say nothing about now.
	if _, err := e.sender.Send(ctx, nil); err != nil && !isErrno(err) {
		return e.fail(ctx, now, err)
	}
	e.probe = now.Add(e.settle)
	return e.send(ctx, 1, now)
}

// judge takes back a probe that was not answered, so that it is sent again, until there were enough of them. Only the
// last counts as sent.
func (e *emitter) judge(ctx context.Context, now time.Time) error {
	if _, err := e.sender.Send(ctx, nil); err != nil {
		return e.fail(ctx, now, err)
	}
	e.silent++
	if e.silent < silentProbes {
		e.window.rewind()
		e.retry, e.probe = now.Add(probeEvery), time.Time{}
		return nil
	}
	e.window.settle(now)
	return e.resume(ctx)
}

func (e *emitter) resume(ctx context.Context) error {
	e.log.Info("sending again", "target", e.target)
	e.reason, e.probe, e.silent = "", time.Time{}, 0
	return e.out.Hold(ctx, "")
}

// ask asks the socket for an error without sending anything.
func (e *emitter) ask(ctx context.Context, now time.Time) error {
	if _, err := e.sender.Send(ctx, nil); err != nil {
		return e.fail(ctx, now, err)
	}
	e.window.settle(now)
	return nil
}

func (e *emitter) send(ctx context.Context, n int, now time.Time) error {
	e.batch = e.window.next(e.batch[:0], n)
	taken, err := e.sender.Send(ctx, e.batch)
	if err == nil && taken < len(e.batch) {
		err = errNotTaken
	}
	due := time.Now().Add(e.settle)
	if errors.Is(err, syscall.EMSGSIZE) {
		e.window.advance(taken, due)
		e.tooLarge(taken)
		return nil
	}
	if err != nil {
		return e.fail(ctx, now, err)
	}
	e.alone = false
	e.window.settle(now)
	e.window.advance(taken, due)
	return nil
}

// tooLarge rejects a datagram that the kernel refuses for its size even when it is sent alone: no error of an earlier
// one then, and no target would ever take it.
func (e *emitter) tooLarge(taken int) {
	if !e.alone || taken > 0 {
		e.alone = true
		return
	}
	e.alone = false
	e.window.skip(&sdk.Error{Code: sdk.CodeTooLarge, Detail: fmt.Sprintf("%d bytes do not fit the path to %s", len(e.batch[0]), e.target)})
}

// fail holds: everything that is not confirmed will be sent again.
func (e *emitter) fail(ctx context.Context, now time.Time, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if !isErrno(err) {
		e.hangUp()
	}
	e.window.rewind()
	e.retry, e.probe, e.silent = now.Add(probeEvery), time.Time{}, 0
	reason := fmt.Sprintf("%s: %v", e.target, err)
	if reason == e.reason {
		return nil
	}
	e.reason = reason
	e.log.Warn("holding", "reason", reason, "retry_seconds", probeEvery.Seconds())
	return e.out.Hold(ctx, reason)
}

func (e *emitter) hangUp() {
	if e.sender != nil {
		_ = e.sender.Close() // nothing is buffered
		e.sender = nil
	}
}

// isErrno tells an error of the target's socket from one of the way to it.
func isErrno(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// ended makes the end of ctx no error: what is not confirmed is delivered again.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
