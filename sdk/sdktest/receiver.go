package sdktest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
)

// ReceiverHarness is a receiver that runs, and the core around it. Its methods may be called concurrently, but those
// that take a testing.TB fail the test and belong to the test's goroutine.
type ReceiverHarness struct {
	border *border
	opts   Options
	intake *intake
	run    *runner
}

// NewReceiver configures a receiver and starts it. The test stops it at its end at the latest.
func NewReceiver(t testing.TB, impl sdk.Receiver, o Options) *ReceiverHarness {
	t.Helper()
	h := openReceiver(t, impl, o)
	h.configure(t)
	h.start(t)
	return h
}

func openReceiver(t testing.TB, impl sdk.Receiver, o Options) *ReceiverHarness {
	t.Helper()
	o = o.filled(t, sdk.KindReceiver)
	return &ReceiverHarness{border: open(t, impl, sdk.KindReceiver, o), opts: o, intake: newIntake()}
}

func (h *ReceiverHarness) configure(t testing.TB) { configure(t, h.border, h.opts) }

func (h *ReceiverHarness) start(t testing.TB) {
	t.Helper()
	h.run = h.border.begin(t, func(ctx context.Context) error {
		return h.border.client.(sdk.Receiver).Run(ctx, nil, h.intake) // made as one
	})
}

// configure validates and configures as the core does.
func configure(t testing.TB, b *border, o Options) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	traits, problems, err := b.client.Validate(ctx, []byte(o.Config))
	if err != nil {
		t.Fatalf("validate: %v", err)
	}
	for _, p := range problems {
		t.Errorf("validate: %v", p)
	}
	if len(problems) > 0 {
		t.FailNow()
	}
	b.network.allow(traits.Network)
	if err := b.client.Configure(ctx, o.setup()); err != nil {
		t.Fatalf("configure: %v", err)
	}
}

// Dial is a connection to the receiver from remote, as if the core had accepted it. The result is a *net.UnixConn, so
// that CloseWrite plays a FIN.
func (h *ReceiverHarness) Dial(t testing.TB, remote netip.AddrPort) net.Conn {
	t.Helper()
	return h.border.network.connect(t, remote, h.opts.Interface)
}

// SendDatagrams feeds datagrams to the receiver; an empty Interface becomes that of the options, a zero time now. It
// returns when the receiver's side of the border has them, which need not mean that the receiver has read them.
func (h *ReceiverHarness) SendDatagrams(t testing.TB, grams ...sdk.Datagram) {
	t.Helper()
	if err := h.sendDatagrams(t, patience, grams); err != nil {
		t.Fatalf("feed: %v", err)
	}
}

func (h *ReceiverHarness) sendDatagrams(t testing.TB, within time.Duration, grams []sdk.Datagram) error {
	t.Helper()
	var frame []byte
	var iface string
	flush := func() error {
		if len(frame) == 0 {
			return nil
		}
		u := h.border.network.feed(t, iface)
		_ = u.SetWriteDeadline(time.Now().Add(within))
		control.PutLength(frame)
		_, err := u.Write(frame)
		frame = nil
		return err
	}
	for _, g := range grams {
		if g.Interface == "" {
			g.Interface = h.opts.Interface
		}
		if g.Received.IsZero() {
			g.Received = time.Now()
		}
		if g.Interface != iface || len(frame)+control.DatagramOverhead+len(g.Payload) > control.MaxFrame {
			if err := flush(); err != nil {
				return err
			}
			iface, frame = g.Interface, make([]byte, control.FrameHeader)
		}
		frame = control.AppendDatagram(frame, g.Remote, g.Received.UnixNano(), g.Payload)
	}
	return flush()
}

// Records waits until at least n records have arrived since the start and returns all that have, in order of arrival.
func (h *ReceiverHarness) Records(t testing.TB, n int) []sdk.Record {
	t.Helper()
	what := fmt.Sprintf("%d records", n)
	return h.until(t, what, func(recs []sdk.Record) bool { return len(recs) >= n })
}

// until waits until the records satisfy a test, or can no longer.
func (h *ReceiverHarness) until(t testing.TB, what string, ok func([]sdk.Record) bool) []sdk.Record {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s := h.intake.state()
		if s.fault != nil {
			t.Fatalf("the receiver delivered a malformed batch: %v", s.fault)
		}
		if ok(s.records) {
			return s.records
		}
		select {
		case <-s.changed:
		case <-h.run.done:
			if s = h.intake.state(); !ok(s.records) {
				t.Fatalf("waited for %s, %d arrived, then Run returned: %v", what, len(s.records), h.run.err)
			}
		case <-limit.C:
			t.Fatalf("waited for %s, %d arrived within %v", what, len(s.records), patience)
		}
	}
}

// Batches are the headers of the batches that have arrived.
func (h *ReceiverHarness) Batches() []sdk.Header { return h.intake.state().headers }

// Acked is how many records have been acknowledged to the receiver.
func (h *ReceiverHarness) Acked() int { return h.intake.state().acked }

// HoldAcks makes the core take batches without deciding on them, as a spool does whose disk is slow.
func (h *ReceiverHarness) HoldAcks() { h.intake.hold() }

// ReleaseAcks acknowledges everything held back and ends HoldAcks.
func (h *ReceiverHarness) ReleaseAcks() { h.intake.release() }

// FailNext decides on the next batch with e.
func (h *ReceiverHarness) FailNext(e *sdk.Error) { h.intake.failNext(e) }

// Refused lists what the plugin asked for beyond its grants, for example "dial tcp 192.0.2.1:502".
func (h *ReceiverHarness) Refused() []string { return h.border.network.refusals() }

// CloseFeeds ends the datagram feeds, as the core does before it drains a receiver.
func (h *ReceiverHarness) CloseFeeds() { h.border.network.closeFeeds() }

// Drain asks the receiver to finish within five seconds and waits for its Run, whose error it returns.
func (h *ReceiverHarness) Drain(t testing.TB) error {
	t.Helper()
	return drain(t, h.border, h.run, drainTime)
}

// Stop cancels Run and waits until the plugin's Run has returned.
func (h *ReceiverHarness) Stop(t testing.TB) {
	t.Helper()
	h.run.cancel()
	_ = h.border.wait(t, h.run, patience) // the error of a cancelled Run says nothing
	h.border.close()
}

// drainTime is the deadline that Drain gives (ours).
const drainTime = 5 * time.Second

func drain(t testing.TB, b *border, r *runner, within time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := b.client.Drain(ctx); err != nil {
		t.Errorf("drain: %v", err)
	}
	return b.wait(t, r, within+promptly)
}
