package udp_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/plugins/udp"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func source(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 20001)
}

func TestOpaque(t *testing.T) {
	h := sdktest.NewReceiver(t, udp.New(), sdktest.Options{Name: "udp.test", Config: `{"protocol":"opaque"}`})
	random := rand.New(rand.NewPCG(1, 2))
	var want []sdk.Datagram
	for i := range 3000 {
		payload := make([]byte, random.IntN(1400))
		for j := range payload {
			payload[j] = byte(random.Uint32())
		}
		want = append(want, sdk.Datagram{
			Remote: source(random.IntN(5)), Interface: "eth-test", Payload: payload,
			Received: time.Unix(1_800_000_000, int64(i)*1000),
		})
	}
	want = append(want,
		sdk.Datagram{Remote: source(1), Interface: "eth-test", Payload: nil, Received: time.Unix(1_800_000_001, 0)},
		sdk.Datagram{Remote: source(1), Interface: "eth-test", Payload: bytes.Repeat([]byte{0xff}, 65507), Received: time.Unix(1_800_000_002, 0)},
		sdk.Datagram{Remote: netip.MustParseAddrPort("[2001:db8::1]:9"), Interface: "eth-test", Payload: []byte("six"), Received: time.Unix(1_800_000_003, 0)},
	)
	h.SendDatagrams(t, want...)
	recs := h.Records(t, len(want))
	for i, r := range recs {
		w := want[i]
		if !bytes.Equal(r.Payload, w.Payload) || r.Connection.Remote != w.Remote || !r.Received.Equal(w.Received) || r.Kind != sdk.KindOpaque || !r.Event.IsZero() {
			t.Fatalf("record %d: %d bytes from %s at %s, kind %s; sent: %d bytes from %s at %s",
				i, len(r.Payload), r.Connection.Remote, r.Received, r.Kind, len(w.Payload), w.Remote, w.Received)
		}
		if r.Connection.Interface != "eth-test" || r.Connection.Endpoint != "" {
			t.Fatalf("record %d: %+v", i, r.Connection)
		}
	}
	h.Stop(t)
}

func TestSyslog(t *testing.T) {
	h := sdktest.NewReceiver(t, udp.New(), sdktest.Options{Config: `{"protocol":"syslog"}`})
	in := []string{"<13>1 2026-10-11T22:14:15Z host app - - - text\n", "not syslog", ""}
	for _, s := range in {
		h.SendDatagrams(t, sdk.Datagram{Remote: source(1), Payload: []byte(s)})
	}
	recs := h.Records(t, len(in))
	for i, r := range recs {
		if string(r.Payload) != in[i] || r.Kind != sdk.KindSyslog {
			t.Fatalf("record %d: %q, %s", i, r.Payload, r.Kind)
		}
	}
	if want := time.Date(2026, 10, 11, 22, 14, 15, 0, time.UTC); !recs[0].Event.Equal(want) {
		t.Fatalf("event time %s", recs[0].Event)
	}
	if !recs[1].Event.IsZero() || !recs[2].Event.IsZero() {
		t.Fatal("event time out of nothing")
	}
	h.Stop(t)
}

// TestDrain holds that what the core had fed before is not lost.
func TestDrain(t *testing.T) {
	h := sdktest.NewReceiver(t, udp.New(), sdktest.Options{Config: `{"protocol":"opaque"}`})
	const n = 20_000
	var grams []sdk.Datagram
	for i := range n {
		grams = append(grams, sdk.Datagram{Remote: source(i % 7), Payload: fmt.Appendf(nil, "datagram %d", i)})
	}
	h.SendDatagrams(t, grams...)
	if err := h.Drain(t); err != nil {
		t.Fatal(err)
	}
	recs := h.Records(t, n)
	for i, r := range recs {
		if want := fmt.Sprintf("datagram %d", i); string(r.Payload) != want {
			t.Fatalf("record %d is %q", i, r.Payload)
		}
	}
	h.Stop(t)
}

func TestValidate(t *testing.T) {
	for config, path := range map[string]string{
		`{"protocol":"syslog"}`: "", `{"protocol":"opaque","encryption":"by-endpoint"}`: "", `{"protocol":"opaque","encryption":null}`: "",
		`{"protocol":"syslog","critical":"debug"}`: "", `{"protocol":"opaque","critical":"none"}`: "",
		`{"protocol":"syslog","critical":"3"}`: "critical", `{"protocol":"opaque","critical":"err"}`: "critical",
		`{}`: "protocol", `{"protocol":"relp"}`: "protocol", `{"protocol":"opaque","encryption":"sealed"}`: "encryption",
	} {
		traits, problems, err := udp.New().Validate(t.Context(), json.RawMessage(config))
		if err != nil {
			t.Fatalf("%s: %v", config, err)
		}
		if path == "" && (len(problems) > 0 || traits.Network != "udp" || !strings.Contains(config, traits.Protocol) || traits.Kind != traits.Protocol) {
			t.Fatalf("%s: %v %+v", config, problems, traits)
		}
		if path != "" && (len(problems) != 1 || problems[0].Path[0] != path) {
			t.Fatalf("%s: %v, want one problem at %s", config, problems, path)
		}
	}
}

// feed repeats one batch; it is what the core's feed looks like to a receiver.
type feed struct {
	grams []sdk.Datagram
	left  int
	end   context.CancelFunc
}

func (f *feed) ReadBatch(ctx context.Context) ([]sdk.Datagram, error) {
	if f.left == 0 {
		f.end()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.left--
	return f.grams, nil
}

func (f *feed) Finish()      {}
func (f *feed) Close() error { return nil }

type feedNetwork struct {
	sdk.Network
	feed *feed
}

func (n feedNetwork) Packets(context.Context) (sdk.PacketReader, error) { return n.feed, nil }

// kept acknowledges at once.
type kept struct{}

func (kept) Deliver(_ context.Context, _ sdk.Class, _ []byte, decided func(error)) error {
	decided(nil)
	return nil
}

// BenchmarkFlow measures what a datagram costs in the receiver, for one source and for sources that alternate.
func BenchmarkFlow(b *testing.B) {
	for _, protocol := range []string{"opaque", "syslog"} {
		for _, sources := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/sources-%d", protocol, sources), func(b *testing.B) {
				payload := []byte("<165>1 2026-10-11T22:14:15.003Z host app 1 id - " + strings.Repeat("x", 150))
				var grams []sdk.Datagram
				for i := range 1000 {
					grams = append(grams, sdk.Datagram{Remote: source(i % sources), Interface: "eth0", Received: time.Unix(1, int64(i)), Payload: payload})
				}
				r := udp.New()
				if err := r.Configure(b.Context(), sdk.Setup{Name: "udp.bench", Config: json.RawMessage(`{"protocol":"` + protocol + `"}`)}); err != nil {
					b.Fatal(err)
				}
				ctx, cancel := context.WithCancel(b.Context())
				b.ReportAllocs()
				b.ResetTimer()
				if err := r.Run(ctx, feedNetwork{feed: &feed{grams: grams, left: b.N/len(grams) + 1, end: cancel}}, kept{}); err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
