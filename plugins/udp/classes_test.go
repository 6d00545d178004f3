package udp_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/udp"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

// TestCriticalMessagesHaveASeriesOfTheirOwn: every message is in the series of its class, and each series is in order.
func TestCriticalMessagesHaveASeriesOfTheirOwn(t *testing.T) {
	const n = 4000
	h := sdktest.NewReceiver(t, udp.New(), sdktest.Options{Config: `{"protocol":"syslog","critical":"warning"}`})
	var grams []sdk.Datagram
	var bulk, critical []string
	for i := range n {
		payload := fmt.Sprintf("<%d>message %d", i%192, i)
		switch {
		case i%500 == 499:
			payload = fmt.Sprintf("no priority %d", i)
			bulk = append(bulk, payload)
		case i%192%8 <= 4:
			critical = append(critical, payload)
		default:
			bulk = append(bulk, payload)
		}
		grams = append(grams, sdk.Datagram{Remote: source(1), Payload: []byte(payload)})
	}
	h.SendDatagrams(t, grams...)
	records := h.Records(t, n) // before Drain, which may come before a feed that is on its way
	if err := h.Drain(t); err != nil {
		t.Fatal(err)
	}
	series := map[sdk.StreamID][]string{}
	for _, r := range records {
		series[r.ID.Stream] = append(series[r.ID.Stream], string(r.Payload))
		if r.Kind != sdk.KindSyslog || r.Connection.Remote != source(1) || r.Received.IsZero() {
			t.Fatalf("record %+v", r)
		}
	}
	if len(series) != 2 {
		t.Fatalf("%d series", len(series))
	}
	for _, got := range series {
		if !slices.Equal(got, bulk) && !slices.Equal(got, critical) {
			t.Errorf("a series of %d messages is neither of the two: %q …", len(got), got[:min(len(got), 5)])
		}
	}
	if h.Acked() != n {
		t.Errorf("%d acknowledged, %d were sent", h.Acked(), n)
	}
	h.Stop(t)
}

// TestCriticalIsOffUnlessAsked: without a threshold there is one series.
func TestCriticalIsOffUnlessAsked(t *testing.T) {
	h := sdktest.NewReceiver(t, udp.New(), sdktest.Options{Config: `{"protocol":"syslog"}`})
	for _, payload := range []string{"<8>emerg", "<15>debug"} {
		h.SendDatagrams(t, sdk.Datagram{Remote: source(1), Payload: []byte(payload)})
	}
	if recs := h.Records(t, 2); recs[0].ID.Stream != recs[1].ID.Stream {
		t.Error("two series")
	}
	h.Stop(t)
}
