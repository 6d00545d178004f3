package tcp_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/plugins/tcp"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

// byStream gathers payloads by the series that they are in: each class has its own.
func byStream(recs []sdk.Record) map[sdk.StreamID][]string {
	out := map[sdk.StreamID][]string{}
	for _, r := range recs {
		out[r.ID.Stream] = append(out[r.ID.Stream], string(r.Payload))
	}
	return out
}

// streamOf finds the series of one payload.
func streamOf(t *testing.T, series map[sdk.StreamID][]string, payload string) []string {
	t.Helper()
	for _, s := range series {
		if slices.Contains(s, payload) {
			return s
		}
	}
	t.Fatalf("%q is missing in %v", payload, series)
	return nil
}

// TestCriticalMessagesHaveASeriesOfTheirOwn: whatever the severities and the framing, each message is in the series of
// its class, each series is in order, and the tail of a message stays with it.
func TestCriticalMessagesHaveASeriesOfTheirOwn(t *testing.T) {
	in := []string{
		"<14>info", "<11>err 1", "tail of err 1", "", "<15>debug", "tail of debug", "<8>emerg", "<11>err 2", "<12>warning", "<999>no priority", "<13>notice", "<10>crit",
	}
	bulk := []string{"<14>info", "<15>debug", "tail of debug", "<12>warning", "<999>no priority", "<13>notice"}
	critical := []string{"<11>err 1", "tail of err 1", "<8>emerg", "<11>err 2", "<10>crit"}
	r := tcp.New()
	h := sdktest.NewReceiver(t, r, sdktest.Options{Config: `{"critical": "err"}`})
	c := h.Dial(t, peer)
	write(t, c, strings.Join(in, "\n")) // the last is an unfinished line
	halfClose(t, c)
	expectEnd(t, c)
	series := byStream(h.Records(t, len(bulk)+len(critical)))
	if got := streamOf(t, series, bulk[0]); !slices.Equal(got, bulk) {
		t.Errorf("bulk %q", got)
	}
	if got := streamOf(t, series, critical[0]); !slices.Equal(got, critical) {
		t.Errorf("critical %q", got)
	}
	h.Stop(t)
	if c := r.Counters(); c.Records != uint64(len(bulk)+len(critical)) || c.Critical != uint64(len(critical)) {
		t.Errorf("counters %+v", c)
	}
}

// TestTailsAreKeptApartByConnection: the message before is the one of the same connection.
func TestTailsAreKeptApartByConnection(t *testing.T) {
	h := sdktest.NewReceiver(t, tcp.New(), sdktest.Options{Config: `{"critical": "err"}`})
	a, b := h.Dial(t, peer), h.Dial(t, netip.MustParseAddrPort("192.0.2.8:1"))
	write(t, a, "<11>err\n")
	write(t, b, "<14>info\n")
	h.Records(t, 2)
	write(t, a, "tail of err\n")
	h.Records(t, 3)
	write(t, b, "tail of info\n")
	series := byStream(h.Records(t, 4))
	if got := streamOf(t, series, "<11>err"); !slices.Equal(got, []string{"<11>err", "tail of err"}) {
		t.Errorf("critical %q", got)
	}
	h.Stop(t)
}

// TestCriticalIsOffUnlessAsked: without a threshold there is one series.
func TestCriticalIsOffUnlessAsked(t *testing.T) {
	for _, config := range []string{`{}`, `{"critical": "none"}`} {
		h := sdktest.NewReceiver(t, tcp.New(), sdktest.Options{Config: config})
		write(t, h.Dial(t, peer), "<8>emerg\n<15>debug\n")
		if series := byStream(h.Records(t, 2)); len(series) != 1 {
			t.Errorf("%s: series %v", config, series)
		}
		h.Stop(t)
	}
}

// TestDrainKeepsBothClasses: what was read is decided in both series before Run returns.
func TestDrainKeepsBothClasses(t *testing.T) {
	const n = 5000
	h := sdktest.NewReceiver(t, tcp.New(), sdktest.Options{Config: `{"critical": "err"}`})
	c := h.Dial(t, peer)
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<%d>%d\n", 8+i%8, i)
	}
	write(t, c, b.String())
	halfClose(t, c)
	expectEnd(t, c)
	if err := h.Drain(t); err != nil {
		t.Fatal(err)
	}
	if got := h.Acked(); got != n {
		t.Errorf("%d records acknowledged, %d were sent", got, n)
	}
	if series := byStream(h.Records(t, n)); len(streamOf(t, series, "<8>0")) != n/2 {
		t.Errorf("%d critical", len(streamOf(t, series, "<8>0")))
	}
	h.Stop(t)
}
