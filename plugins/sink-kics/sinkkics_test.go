package sinkkics_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	sinkkics "github.com/sluice-gateway/sluice/plugins/sink-kics"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const fast = `{"mode":"telemetry","rate":100000,"burst":500,"settle":20000000}`

func TestSendsByteAndDatagramExact(t *testing.T) {
	h := sdktest.NewSink(t, sinkkics.New(), sdktest.Options{Config: fast, Connect: map[string]sdktest.Target{node: {}}})
	payloads := [][]byte{{}, []byte("a"), make([]byte, 1400), make([]byte, 65507), []byte("\x00\xff")}
	var recs []sdk.Record
	for _, p := range payloads {
		recs = append(recs, sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1, 0), Payload: p})
	}
	h.WaitAck(t, h.Deliver(t, recs...))
	got := h.Datagrams(t, node)
	if len(got) != len(payloads) {
		t.Fatalf("%d datagrams, want %d", len(got), len(payloads))
	}
	for i := range got {
		if string(got[i]) != string(payloads[i]) {
			t.Fatalf("datagram %d has %d bytes, want %d", i, len(got[i]), len(payloads[i]))
		}
	}
	h.Stop(t)
}

func TestRejectsWhatIsNoTelemetryDatagram(t *testing.T) {
	h := sdktest.NewSink(t, sinkkics.New(), sdktest.Options{Config: fast, Connect: map[string]sdktest.Target{node: {}}})
	syslog, large := record(1), record(2)
	syslog.Kind = sdk.KindSyslog
	large.Payload = make([]byte, 65508)
	h.WaitAck(t, h.Deliver(t, record(0), syslog, large, record(3)))
	rs := h.Rejections()
	if len(rs) != 2 || rs[0].Record != 1 || rs[0].Err.Code != sdk.CodeRefused || rs[1].Record != 2 || rs[1].Err.Code != sdk.CodeTooLarge {
		t.Fatalf("rejections %+v", rs)
	}
	if got := h.Datagrams(t, node); len(got) != 2 || string(got[1]) != "datagram 3" {
		t.Fatalf("%q", got)
	}
	h.Stop(t)
}

func TestHoldsWhileThePortIsClosed(t *testing.T) {
	h := sdktest.NewSink(t, sinkkics.New(), sdktest.Options{Config: fast, Connect: map[string]sdktest.Target{node: {}}})
	h.RefuseDatagrams(t, node, true)
	var recs []sdk.Record
	for i := range 300 {
		recs = append(recs, record(i))
	}
	n := h.Deliver(t, recs...)
	if reason := h.WaitHolding(t, true); !strings.Contains(reason, node) || !strings.Contains(reason, "connection refused") {
		t.Fatalf("holding: %q", reason)
	}
	if h.Acked() != 0 {
		t.Fatal("acknowledged what met a closed port")
	}
	h.RefuseDatagrams(t, node, false)
	h.WaitAck(t, n)
	h.WaitHolding(t, false)
	seen := map[string]bool{}
	for _, d := range h.Datagrams(t, node) {
		seen[string(d)] = true
	}
	if len(seen) != 300 {
		t.Fatalf("%d of 300 datagrams arrived", len(seen))
	}
	h.Stop(t)
}

func TestTargetBeyondTheGrant(t *testing.T) {
	refused := &sdk.Error{Code: sdk.CodeRefused, Detail: "not in connect"}
	s := sinkkics.New()
	configure(t, s, node)
	err := s.Run(t.Context(), network{dial: func() (sdk.PacketSender, error) { return nil, refused }}, silent{})
	if sdk.CodeOf(err) != sdk.CodeRefused {
		t.Fatalf("run: %v", err)
	}
}

func TestConfigureNeedsOneTarget(t *testing.T) {
	for _, connect := range [][]string{nil, {node, "192.0.2.11:1"}, {"kics.example:1"}} {
		err := sinkkics.New().Configure(t.Context(), sdk.Setup{Config: json.RawMessage(fast), Connect: connect})
		if sdk.CodeOf(err) != sdk.CodeConfig {
			t.Fatalf("connect %q: %v", connect, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for config, path := range map[string]string{
		fast: "", `{"mode":"telemetry"}`: "", `{"mode":"telemetry","rate":null,"settle":null}`: "",
		`{}`: "mode", `{"mode":"events"}`: "mode", `{"mode":"telemetry","rate":0}`: "rate", `{"mode":"telemetry","rate":1e7}`: "rate",
		`{"mode":"telemetry","burst":0}`: "burst", `{"mode":"telemetry","settle":0}`: "settle", `{"mode":"telemetry","settle":11000000000}`: "settle",
	} {
		traits, problems, err := sinkkics.New().Validate(t.Context(), json.RawMessage(config))
		if err != nil || traits.Delivery != "sent" || len(traits.AcceptsProtocols) != 1 || traits.AcceptsProtocols[0] != "opaque" {
			t.Fatalf("%s: %+v, %v", config, traits, err)
		}
		if (path == "") != (len(problems) == 0) || len(problems) > 1 || (path != "" && problems[0].Path[0] != path) {
			t.Fatalf("%s: %v, want one problem at %q", config, problems, path)
		}
	}
}

// TestRealSocket closes and opens a real port on loopback: the kernel's own ICMP answers make the sink hold.
func TestRealSocket(t *testing.T) {
	port := listen(t, "127.0.0.1:0")
	address := port.LocalAddr().String()
	s := sinkkics.New()
	configure(t, s, address)
	out := newOutlet()
	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() {
		ran <- s.Run(ctx, network{dial: func() (sdk.PacketSender, error) { return dialUDP(address) }}, out)
	}()

	first := out.deliver(t, 0, 100)
	seen := map[string]bool{}
	receive(t, port, seen, 100)
	out.waitAck(t, first)

	_ = port.Close()
	second := out.deliver(t, 100, 200)
	if reason := out.waitHold(t); !strings.Contains(reason, "connection refused") {
		t.Fatalf("holding: %q", reason)
	}
	if got := out.acked(); got != first {
		t.Fatalf("acknowledged %d while the port was closed", got)
	}
	port = listen(t, address)
	receive(t, port, seen, 200)
	out.waitAck(t, second)
	for i := range 200 {
		if !seen[string(record(i).Payload)] {
			t.Fatalf("datagram %d never arrived", i)
		}
	}
	cancel()
	if err := <-ran; err != nil {
		t.Fatal(err)
	}
}

func configure(t *testing.T, s *sinkkics.Sink, address string) {
	t.Helper()
	setup := sdk.Setup{Name: "kics.test", Config: json.RawMessage(fast), Connect: []string{address}, Log: sdk.NewLogger(t.Output())}
	if err := s.Configure(t.Context(), setup); err != nil {
		t.Fatal(err)
	}
}

func listen(t *testing.T, address string) net.PacketConn {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // a second close does no harm
	return c
}

// receive reads until so many distinct datagrams have been seen.
func receive(t *testing.T, c net.PacketConn, seen map[string]bool, want int) {
	t.Helper()
	buf := make([]byte, 65536)
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for len(seen) < want {
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatalf("%d of %d datagrams: %v", len(seen), want, err)
		}
		seen[string(buf[:n])] = true
	}
}

// udpSender is a connected UDP socket as the core's sender uses one: a call per datagram, its errno reported.
type udpSender struct{ *net.UDPConn }

func dialUDP(address string) (sdk.PacketSender, error) {
	c, err := net.Dial("udp", address) //nolint:noctx // connecting UDP does not block
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UDPConn)
	if !ok {
		return nil, errors.New("not a UDP socket")
	}
	return udpSender{u}, nil
}

func (s udpSender) Send(_ context.Context, grams [][]byte) (int, error) {
	if len(grams) == 0 {
		return 0, s.pending()
	}
	for i, g := range grams {
		if _, err := s.Write(g); err != nil {
			return i, err
		}
	}
	return len(grams), nil
}

func (s udpSender) pending() error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var value int
	cerr := raw.Control(func(fd uintptr) {
		value, err = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	})
	if cerr != nil || err != nil || value == 0 {
		return errors.Join(cerr, err)
	}
	return os.NewSyscallError("send", syscall.Errno(value))
}
