package sdktest_test

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
	"github.com/sluice-gateway/sluice/sdk/sdktest/mock"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// played makes this test binary hold a faulty mock to a suite: "receiver tcp panic-run".
const played = "SDKTEST_PLAYED"

func suite(t *testing.T, kind, network string, f mock.Fault) {
	t.Helper()
	if kind == sdk.KindSink {
		sdktest.Sink(t, func() sdk.Sink { return mock.NewSink(f) }, sdktest.SinkSuite{
			Record: func(i int) sdk.Record {
				return sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1, 0), Payload: fmt.Append(nil, i)}
			},
		})
		return
	}
	s := sdktest.ReceiverSuite{
		Options: sdktest.Options{Config: fmt.Sprintf(`{"network":%q}`, network)},
		Message: func(i int) []byte { return fmt.Appendf(nil, "%0300d\n", i) },
	}
	if network == "tcp" {
		s.Payload = func(i int) []byte { return fmt.Appendf(nil, "%0300d", i) }
	}
	sdktest.Receiver(t, func() sdk.Receiver { return mock.NewReceiver(f) }, s)
}

func TestTheSuitesPassWhatWorks(t *testing.T) {
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) { suite(t, sdk.KindReceiver, network, mock.None) })
	}
	t.Run("sink", func(t *testing.T) { suite(t, sdk.KindSink, "none", mock.None) })
}

func TestPlayed(t *testing.T) {
	v, ok := os.LookupEnv(played)
	if !ok {
		t.Skip("it fails on purpose: TestTheSuitesCatch runs it in a process of its own")
	}
	words := strings.Fields(v)
	suite(t, words[0], words[1], mock.Fault(words[2]))
}

func TestTheSuitesCatch(t *testing.T) {
	tests := []struct {
		kind, network string
		fault         mock.Fault
		check         string // that fails
		want          string // in the output
	}{
		{sdk.KindReceiver, "tcp", mock.PanicValidate, "validate survives hostile bodies", "panic: mock: validate"},
		{sdk.KindReceiver, "tcp", mock.RefuseConfig, "records arrive", "configure: config: network: the mock does not like it"},
		{sdk.KindReceiver, "tcp", mock.FailRun, "records arrive", "internal: the mock fails"},
		{sdk.KindReceiver, "tcp", mock.GarbageBatch, "records arrive", "malformed"},
		{sdk.KindReceiver, "tcp", mock.AnswerTooSoon, "nothing is answered before the acknowledgement", "the receiver does not answer"},
		{sdk.KindReceiver, "tcp", mock.LeakGoroutine, "records arrive", "found unexpected goroutines"},
		{sdk.KindReceiver, "udp", mock.LoseOnDrain, "drain delivers what was taken in", "of 500 records arrived"},
		{sdk.KindReceiver, "udp", mock.HangDrain, "drain ends by its deadline without acknowledgements", "did not return within"},
		{sdk.KindReceiver, "udp", mock.HangRun, "a second run is refused", "the plugin's Run did not return within"},
		{sdk.KindSink, "none", mock.LoseGarbage, "garbage is rejected and harms nothing else", "acknowledged without a rejection"},
		{sdk.KindSink, "none", mock.GarbageBatch, "deliveries are acknowledged", "the sink acknowledged delivery 1001 of"},
		{sdk.KindSink, "none", mock.ReturnAtOnce, "deliveries are acknowledged", "not acknowledged when Run returned"},
		{sdk.KindSink, "none", mock.HangRun, "cancel ends run promptly", "the plugin's Run did not return within"},
		{sdk.KindSink, "none", mock.HangDrain, "drain ends run", "did not return within"},
	}
	for _, tt := range tests {
		t.Run(tt.kind+" "+string(tt.fault), func(t *testing.T) {
			t.Parallel()
			only := "^TestPlayed$/^" + strings.ReplaceAll(tt.check, " ", "_") + "$"
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run="+only, "-test.v", "-test.timeout=2m")
			cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", played, tt.kind, tt.network, tt.fault))
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestPlayed") || !strings.Contains(string(out), tt.want) {
				t.Errorf("%v, want a failure that says %q:\n%s", err, tt.want, out)
			}
		})
	}
}

func TestWhatIsNotGrantedIsRefused(t *testing.T) {
	h := sdktest.NewReceiver(t, mock.NewReceiver(mock.DialBeyond), sdktest.Options{Config: `{"network":"udp"}`})
	refused(t, h.Refused, "dial tcp 192.0.2.66:502")
	h.Stop(t)
	h = sdktest.NewReceiver(t, mock.NewReceiver(mock.ListenBeyond), sdktest.Options{Config: `{"network":"udp"}`})
	refused(t, h.Refused, "listen tcp")
	h.Stop(t)
	s := sdktest.NewSink(t, mock.NewSink(mock.DialBeyond), sdktest.Options{})
	refused(t, s.Refused, "dial tcp 192.0.2.66:502")
	s.Stop(t)
}

func refused(t *testing.T, asked func() []string, want string) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); len(asked()) == 0 && time.Now().Before(limit); time.Sleep(time.Millisecond) {
		continue
	}
	if got := asked(); len(got) != 1 || got[0] != want {
		t.Errorf("refused %q, want %q", got, want)
	}
}

func TestTheHarnessPlaysAReceiversCore(t *testing.T) {
	h := sdktest.NewReceiver(t, mock.NewReceiver(mock.None), sdktest.Options{
		Name: "udp.x", Config: `{"network":"udp"}`, Compression: "zstd", Interface: "eth7",
	})
	h.HoldAcks()
	remote := netip.MustParseAddrPort("[2001:db8::1]:9")
	h.SendDatagrams(t, sdk.Datagram{Remote: remote, Payload: []byte("a")}, sdk.Datagram{Remote: remote, Interface: "eth8", Payload: []byte("b")})
	recs := h.Records(t, 2)
	seen := map[string]string{}
	for _, r := range recs {
		seen[r.Connection.Interface] = string(r.Payload)
	}
	if seen["eth7"] != "a" || seen["eth8"] != "b" || recs[0].Connection.Remote != remote || h.Acked() != 0 {
		t.Errorf("%v, %d acknowledged", seen, h.Acked())
	}
	if b := h.Batches(); !b[0].Zstd || b[0].Receiver != "udp.x" {
		t.Errorf("%+v", b[0])
	}
	h.ReleaseAcks()
	if err := h.Drain(t); err != nil || h.Acked() != 2 {
		t.Errorf("%v, %d acknowledged", err, h.Acked())
	}
	h.Stop(t)
}
