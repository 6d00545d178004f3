package sdktest

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// SinkHarness is a sink that runs, and the core around it.
type SinkHarness struct {
	border *border
	opts   Options
	outlet *outlet
	run    *runner
	next   uint64 // sequence of the next record that Deliver makes
}

// NewSink configures a sink and starts it. The test stops it at its end at the latest.
func NewSink(t testing.TB, impl sdk.Sink, o Options) *SinkHarness {
	t.Helper()
	h := openSink(t, impl, o)
	configure(t, h.border, h.opts)
	h.start(t)
	return h
}

func openSink(t testing.TB, impl sdk.Sink, o Options) *SinkHarness {
	t.Helper()
	o = o.filled(t, sdk.KindSink)
	return &SinkHarness{border: open(t, impl, sdk.KindSink, o), opts: o, outlet: newOutlet(), next: 1}
}

func (h *SinkHarness) start(t testing.TB) {
	t.Helper()
	h.run = h.border.begin(t, func(ctx context.Context) error {
		return h.border.client.(sdk.Sink).Run(ctx, nil, h.outlet) // made as one
	})
}

// Deliver makes one batch of the records, with sequences that follow those of the Deliver before, and queues it. It
// returns the delivery's number.
func (h *SinkHarness) Deliver(t testing.TB, records ...sdk.Record) uint64 {
	t.Helper()
	return h.DeliverBatch(h.Batch(t, records...))
}

// DeliverLate is Deliver for a batch that fills a hole.
func (h *SinkHarness) DeliverLate(t testing.TB, records ...sdk.Record) uint64 {
	t.Helper()
	return h.outlet.deliver(sdk.Delivery{Late: true, Data: h.Batch(t, records...)})
}

// Batch encodes records as Deliver does, for a test that delivers the same batch twice or damages it.
func (h *SinkHarness) Batch(t testing.TB, records ...sdk.Record) []byte {
	t.Helper()
	head := sdk.Header{First: h.next, Receiver: "receiver.test"}
	copy(head.Stream[:], "sdktest-stream-0")
	raw, err := sdk.Encode(nil, head, records)
	if err != nil {
		t.Fatal(err)
	}
	h.next += uint64(len(records))
	return raw
}

// DeliverBatch queues any bytes as a batch.
func (h *SinkHarness) DeliverBatch(raw []byte) uint64 {
	return h.outlet.deliver(sdk.Delivery{Data: raw})
}

// WaitAck blocks until the delivery is acknowledged.
func (h *SinkHarness) WaitAck(t testing.TB, number uint64) {
	t.Helper()
	h.wait(t, "acknowledged", func(s sinkState) bool { return s.through >= number })
}

// WaitHolding blocks until the sink holds (true) or takes again (false), and returns the reason.
func (h *SinkHarness) WaitHolding(t testing.TB, holding bool) string {
	t.Helper()
	return h.wait(t, "holding", func(s sinkState) bool { return (s.holding != "") == holding }).holding
}

func (h *SinkHarness) wait(t testing.TB, what string, ok func(sinkState) bool) sinkState {
	t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s := h.outlet.state()
		if s.fault != nil {
			t.Fatalf("the sink broke the contract: %v", s.fault)
		}
		if ok(s) {
			return s
		}
		select {
		case <-s.changed:
		case <-h.run.done:
			if s = h.outlet.state(); !ok(s) {
				t.Fatalf("not %s when Run returned: %v", what, h.run.err)
			}
		case <-limit.C:
			t.Fatalf("not %s within %v: acknowledged through %d, holding %q", what, patience, s.through, s.holding)
		}
	}
}

// Acked is the newest acknowledged delivery.
func (h *SinkHarness) Acked() uint64 { return h.outlet.state().through }

// Rejections are all records that the sink has rejected.
func (h *SinkHarness) Rejections() []sdk.Rejection { return h.outlet.state().rejections }

// Holding is the reason why the sink holds, "" when it does not.
func (h *SinkHarness) Holding() string { return h.outlet.state().holding }

// Datagrams are the payloads that reached addr, in order.
func (h *SinkHarness) Datagrams(t testing.TB, addr string) [][]byte {
	t.Helper()
	got, _ := h.border.network.target(t, addr).datagrams()
	return got
}

// Lost is how many datagrams were sent to addr while its port was closed.
func (h *SinkHarness) Lost(t testing.TB, addr string) int {
	t.Helper()
	_, lost := h.border.network.target(t, addr).datagrams()
	return lost
}

// RefuseDatagrams closes (on) or opens addr's port. While it is closed a datagram is taken and lost, and the request
// after it meets ECONNREFUSED, once per datagram, as with a connected UDP socket whose host answers by ICMP.
func (h *SinkHarness) RefuseDatagrams(t testing.TB, addr string, on bool) {
	t.Helper()
	h.border.network.target(t, addr).refuse(on)
}

// Accept returns the far end of a TCP connection that the sink has dialled to addr.
func (h *SinkHarness) Accept(t testing.TB, addr string) net.Conn {
	t.Helper()
	select {
	case c := <-h.border.network.target(t, addr).accepted:
		return c
	case <-time.After(patience):
		t.Fatalf("the sink did not dial %s within %v", addr, patience)
		return nil
	}
}

// Refused lists what the plugin asked for beyond its grants, for example "dial udp 192.0.2.1:514".
func (h *SinkHarness) Refused() []string { return h.border.network.refusals() }

// Finish says that nothing more comes, waits for Run to return and returns its error.
func (h *SinkHarness) Finish(t testing.TB) error {
	t.Helper()
	h.outlet.finish()
	return h.border.wait(t, h.run, patience)
}

// Drain asks the sink to finish within five seconds and waits for its Run, whose error it returns.
func (h *SinkHarness) Drain(t testing.TB) error {
	t.Helper()
	return drain(t, h.border, h.run, drainTime)
}

// Stop cancels Run and waits until the plugin's Run has returned.
func (h *SinkHarness) Stop(t testing.TB) {
	t.Helper()
	h.run.cancel()
	_ = h.border.wait(t, h.run, patience) // the error of a cancelled Run says nothing
	h.border.close()
}
