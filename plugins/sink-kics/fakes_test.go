package sinkkics_test

import (
	"context"
	"io"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// network lets a sink dial and nothing else.
type network struct {
	sdk.Network
	dial func() (sdk.PacketSender, error)
}

func (n network) DialPacket(context.Context, string) (sdk.PacketSender, error) { return n.dial() }

// silent is an outlet without deliveries.
type silent struct{}

func (silent) Next(ctx context.Context) (sdk.Delivery, error) {
	<-ctx.Done()
	return sdk.Delivery{}, ctx.Err()
}
func (silent) Ack(context.Context, uint64, ...sdk.Rejection) error { return nil }
func (silent) Hold(context.Context, string) error                  { return nil }

// outlet hands out deliveries and remembers what comes back. It is made inside the bubble that uses it, if any.
type outlet struct {
	queue chan sdk.Delivery
	end   chan struct{} // closed: no more deliveries

	mu       sync.Mutex // guards what follows
	number   uint64
	first    uint64 // sequence of the next record
	through  uint64
	rejected []sdk.Rejection
	reason   string
	holds    int
	changed  chan struct{}
	ackedAt  map[uint64]time.Time
	onAck    func(through uint64)
}

func newOutlet() *outlet {
	return &outlet{queue: make(chan sdk.Delivery, 1000), end: make(chan struct{}), first: 1, changed: make(chan struct{}), ackedAt: map[uint64]time.Time{}}
}

func (o *outlet) Next(ctx context.Context) (sdk.Delivery, error) {
	select {
	case d := <-o.queue:
		return d, nil
	default:
	}
	select {
	case d := <-o.queue:
		return d, nil
	case <-o.end:
		return sdk.Delivery{}, io.EOF
	case <-ctx.Done():
		return sdk.Delivery{}, ctx.Err()
	}
}

func (o *outlet) change(f func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f()
	close(o.changed)
	o.changed = make(chan struct{})
}

func (o *outlet) Ack(_ context.Context, through uint64, rejected ...sdk.Rejection) error {
	o.change(func() {
		o.through, o.rejected = through, append(o.rejected, rejected...)
		o.ackedAt[through] = time.Now()
		if o.onAck != nil {
			o.onAck(through)
		}
	})
	return nil
}

func (o *outlet) Hold(_ context.Context, reason string) error {
	o.change(func() {
		o.reason = reason
		if reason != "" {
			o.holds++
		}
	})
	return nil
}

// deliver queues the records from to to-1 as one delivery.
func (o *outlet) deliver(tb testing.TB, from, to int) uint64 {
	tb.Helper()
	var recs []sdk.Record
	for i := from; i < to; i++ {
		recs = append(recs, record(i))
	}
	return o.deliverRecords(tb, recs)
}

func (o *outlet) deliverRecords(tb testing.TB, recs []sdk.Record) uint64 {
	tb.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	raw, err := sdk.Encode(nil, sdk.Header{First: o.first, Receiver: "udp.test"}, recs)
	if err != nil {
		tb.Fatal(err)
	}
	o.number++
	o.first += uint64(len(recs))
	o.queue <- sdk.Delivery{Number: o.number, Data: raw}
	return o.number
}

func (o *outlet) acked() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.through
}

func (o *outlet) wait(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	deadline := time.After(5 * time.Minute) // synthetic in a bubble, and the test's own limit outside
	for {
		o.mu.Lock()
		done, changed := ok(), o.changed
		o.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			tb.Fatalf("waited in vain for %s", what)
		}
	}
}

func (o *outlet) waitAck(tb testing.TB, number uint64) {
	tb.Helper()
	o.wait(tb, "an acknowledgement", func() bool { return o.through >= number })
}

func (o *outlet) waitHold(tb testing.TB) (reason string) {
	tb.Helper()
	o.wait(tb, "a hold", func() bool { reason = o.reason; return reason != "" })
	return reason
}

// host plays a node behind a connected UDP socket: while its port is closed a datagram is lost and, unless its rate of
// answers is used up, an ICMP answer comes back after a delay and is reported by the next call.
type host struct {
	delay  time.Duration
	limit  bool // answer as Linux does: one a second behind a burst of six, of which somebody else uses up four in ten
	refuse map[string]syscall.Errno

	mu      sync.Mutex // guards what follows
	closed  bool
	got     []string
	times   []time.Time
	answers []time.Time // when ICMP answers arrive
	tokens  float64
	last    time.Time
	pending error // reported once by the next call
}

func (h *host) Close() error { return nil }

func (h *host) Send(_ context.Context, grams [][]byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.report(); err != nil {
		return 0, err
	}
	for i, g := range grams {
		if errno := h.refuse[string(g)]; errno != 0 {
			return i, errno
		}
		h.arrive(string(g))
	}
	return len(grams), nil
}

func (h *host) report() error {
	if err := h.pending; err != nil {
		h.pending = nil
		return err
	}
	n := len(h.answers)
	h.answers = slices.DeleteFunc(h.answers, func(at time.Time) bool { return !at.After(time.Now()) })
	if len(h.answers) < n {
		return syscall.ECONNREFUSED
	}
	return nil
}

func (h *host) arrive(payload string) {
	if !h.closed {
		h.got, h.times = append(h.got, payload), append(h.times, time.Now())
		return
	}
	if h.limit {
		now := time.Now()
		h.tokens = min(6, h.tokens+0.6*now.Sub(h.last).Seconds())
		h.last = now
		if h.tokens < 1 {
			return
		}
		h.tokens--
	}
	h.answers = append(h.answers, time.Now().Add(h.delay))
}

func (h *host) set(closed bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = closed
}

func (h *host) received() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.got)
}
