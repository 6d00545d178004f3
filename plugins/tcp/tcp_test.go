package tcp_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/plugins/tcp"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/sdktest"
)

var peer = netip.MustParseAddrPort("192.0.2.7:40000")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRecords(t *testing.T) {
	r := tcp.New()
	h := sdktest.NewReceiver(t, r, sdktest.Options{Name: "tcp.test"})
	c := h.Dial(t, peer)
	const first = "<165>1 2026-10-11T22:14:15.003Z host app 1 id - text"
	begun := time.Now()
	write(t, c, fmt.Sprintf("%s\n%d %s", first, len("<13>\xff\x00bytes\n"), "<13>\xff\x00bytes\n"))
	recs := h.Records(t, 2)
	if got := string(recs[0].Payload); got != first {
		t.Fatalf("payload %q", got)
	}
	if got := string(recs[1].Payload); got != "<13>\xff\x00bytes\n" {
		t.Fatalf("payload %q is not what was sent", got)
	}
	for _, rec := range recs {
		if rec.Kind != sdk.KindSyslog || rec.Connection.Remote != peer || rec.Connection.Interface != "eth-test" || rec.Connection.Endpoint != "" {
			t.Fatalf("metadata %+v", rec)
		}
		if rec.Received.Before(begun.Truncate(0).Add(-time.Second)) || rec.Received.After(time.Now().Add(time.Second)) {
			t.Fatalf("received %s", rec.Received)
		}
	}
	if want := time.Date(2026, 10, 11, 22, 14, 15, 3e6, time.UTC); !recs[0].Event.Equal(want) {
		t.Fatalf("event time %s, want %s", recs[0].Event, want)
	}
	if !recs[1].Event.IsZero() {
		t.Fatalf("event time %s out of nothing", recs[1].Event)
	}
	h.Stop(t)
}

func TestBadFrameClosesItsConnectionOnly(t *testing.T) {
	var log bytes.Buffer
	r := tcp.New()
	h := sdktest.NewReceiver(t, logged{r, &log}, sdktest.Options{})
	good, bad := h.Dial(t, peer), h.Dial(t, netip.MustParseAddrPort("192.0.2.8:1"))
	write(t, bad, "<13>before\nGET\n")
	write(t, bad, "") // the line "GET" is a tail of the message before: no error
	worse := h.Dial(t, netip.MustParseAddrPort("192.0.2.9:1"))
	write(t, worse, "GET / HTTP/1.1\r\nHost: plant\r\n\r\n")
	expectEnd(t, worse)
	write(t, good, "<13>after\n")
	if got := payloads(h.Records(t, 3)); !got["<13>before"] || !got["GET"] || !got["<13>after"] {
		t.Fatalf("records %v", got)
	}
	h.Stop(t)
	if c := r.Counters(); c.NoFraming != 1 || c.Records != 3 || c.Connections != 3 {
		t.Fatalf("counters %+v", c)
	}
	if s := log.String(); !strings.Contains(s, "no-framing") || !strings.Contains(s, "474554202f20485454502f312e310d0a") || !strings.Contains(s, "192.0.2.9:1") {
		t.Fatalf("log does not say why, with the first bytes in hex:\n%s", s)
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		name, in  string
		records   []string
		truncated uint64
	}{
		{"unfinished line", "<13>a\n<13>b", []string{"<13>a", "<13>b"}, 0},
		{"unfinished counted frame", "5 <13>a20 <13>b", []string{"<13>a"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := tcp.New()
			h := sdktest.NewReceiver(t, r, sdktest.Options{})
			conn := h.Dial(t, peer)
			write(t, conn, c.in)
			halfClose(t, conn)
			got := payloads(h.Records(t, len(c.records)))
			for _, want := range c.records {
				if !got[want] {
					t.Fatalf("%q is missing in %v", want, got)
				}
			}
			expectEnd(t, conn)
			h.Stop(t)
			if got := r.Counters().Truncated; got != c.truncated {
				t.Fatalf("%d truncated, want %d", got, c.truncated)
			}
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	r := tcp.New()
	h := sdktest.NewReceiver(t, r, sdktest.Options{Config: `{"idle_timeout": 20000000}`})
	c := h.Dial(t, peer)
	write(t, c, "<13>a\n")
	h.Records(t, 1)
	expectEnd(t, c)
	h.Stop(t)
	if got := r.Counters().Idle; got != 1 {
		t.Fatalf("%d idle connections counted", got)
	}
}

func TestDrainReadsToTheEnd(t *testing.T) {
	p := newPKI(t)
	for name, config := range map[string]string{"clear": `{}`, "tls": `{"tls": {"certificate": "gw"}}`} {
		t.Run(name, func(t *testing.T) {
			r := tcp.New()
			h := sdktest.NewReceiver(t, r, sdktest.Options{Config: config, Certificates: p.named})
			c := h.Dial(t, peer)
			if name == "tls" {
				c = tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, ServerName: "gw.test"})
			}
			write(t, c, "<13>0\n")
			h.Records(t, 1)
			ended := make(chan error, 1)
			go func() { ended <- sayMore(c) }()
			if err := h.Drain(t); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Fatalf("client: %v", err)
			}
			if got := len(h.Records(t, 1001)); got != 1001 {
				t.Fatalf("%d records", got)
			}
			if c := r.Counters(); c.Cut != 0 || c.Broken != 0 {
				t.Fatalf("counters %+v", c)
			}
			h.Stop(t)
		})
	}
}

// sayMore is a client that sees the receiver's half-close, has more to say all the same, and ends.
func sayMore(c net.Conn) error {
	if _, err := io.Copy(io.Discard, c); err != nil {
		return err
	}
	for i := range 1000 {
		if _, err := fmt.Fprintf(c, "<13>late %d\n", i); err != nil {
			return err
		}
	}
	return c.Close()
}

func TestDrainCutsWhoDoesNotEnd(t *testing.T) {
	r := tcp.New()
	h := sdktest.NewReceiver(t, r, sdktest.Options{})
	c := h.Dial(t, peer)
	write(t, c, "<13>a\n<13>unfinished")
	h.Records(t, 1)
	if err := h.Drain(t); err != nil {
		t.Fatal(err)
	}
	if got := r.Counters(); got.Cut != 1 || got.Truncated != 1 || got.Records != 1 {
		t.Fatalf("counters %+v", got)
	}
	h.Stop(t)
}

func TestBackPressureReachesTheClient(t *testing.T) {
	h := sdktest.NewReceiver(t, tcp.New(), sdktest.Options{})
	h.HoldAcks()
	c := h.Dial(t, peer)
	message := []byte("<13>" + strings.Repeat("x", 60_000) + "\n")
	sent := 0
	for range 10_000 {
		_ = c.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := c.Write(message)
		sent += n
		if errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if limit := 4 * sdk.DefaultCredit; sent > limit {
		t.Fatalf("the receiver took %d bytes that nobody has acknowledged, the limit is %d", sent, limit)
	}
	h.ReleaseAcks()
	_ = c.SetWriteDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(message[sent%len(message):]); err != nil {
		t.Fatal(err)
	}
	want := sent/len(message) + 1
	if got := len(h.Records(t, want)); got != want {
		t.Fatalf("%d records, want %d", got, want)
	}
	h.Stop(t)
}

func TestTLS(t *testing.T) {
	p := newPKI(t)
	for name, config := range map[string]string{
		"by name":  `{"tls": {"certificate": "gw"}}`,
		"by files": fmt.Sprintf(`{"tls": {"certificate_file": %q, "key_file": %q}}`, p.serverFile, p.serverKeyFile),
	} {
		t.Run(name, func(t *testing.T) {
			h := sdktest.NewReceiver(t, tcp.New(), sdktest.Options{Config: config, Certificates: p.named})
			c := tls.Client(h.Dial(t, peer), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, ServerName: "gw.test"})
			write(t, c, "<13>secret\n")
			if err := c.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			rec := h.Records(t, 1)[0]
			if string(rec.Payload) != "<13>secret" || rec.Connection.Endpoint != "" {
				t.Fatalf("record %+v", rec)
			}
			h.Stop(t)
		})
	}
}

func TestClientCertificates(t *testing.T) {
	p := newPKI(t)
	config := fmt.Sprintf(`{"tls": {"certificate": "gw", "verify_clients": true, "client_ca_file": %q}}`, p.caFile)
	r := tcp.New()
	h := sdktest.NewReceiver(t, r, sdktest.Options{Config: config, Certificates: p.named})
	for want, cert := range map[string]tls.Certificate{
		"agent-17": p.issue(t, "agent-17", ""), "urn:sluice:agent:18": p.issue(t, "agent-18", "urn:sluice:agent:18"),
	} {
		c := tls.Client(h.Dial(t, peer), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, ServerName: "gw.test", Certificates: []tls.Certificate{cert}})
		write(t, c, "<13>"+want+"\n")
	}
	for _, rec := range h.Records(t, 2) {
		if "<13>"+rec.Connection.Endpoint != string(rec.Payload) {
			t.Fatalf("endpoint %q of %q", rec.Connection.Endpoint, rec.Payload)
		}
	}
	for name, certs := range map[string][]tls.Certificate{"none": nil, "foreign": {newPKI(t).issue(t, "agent-17", "")}} {
		c := tls.Client(h.Dial(t, peer), &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: p.pool, ServerName: "gw.test", Certificates: certs})
		_, _ = c.Write([]byte("<13>x\n"))
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatalf("client with certificate %s was let in", name)
		}
	}
	poll(t, "two handshakes to be counted", func() bool { return r.Counters().Handshakes == 2 })
	h.Stop(t)
	if got := r.Counters(); got.Records != 2 {
		t.Fatalf("counters %+v", got)
	}
}

// TestOpenSSL lets a real client speak: it half-closes at the end of its input and must not lose what it has said.
func TestOpenSSL(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	p := newPKI(t)
	h := sdktest.NewReceiver(t, tcp.New(), sdktest.Options{Config: `{"tls": {"certificate": "gw"}}`, Certificates: p.named})
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test's listener on loopback
	if err != nil {
		t.Fatal(err)
	}
	relayed := make(chan struct{})
	inner := h.Dial(t, peer)
	go func() {
		defer close(relayed)
		outer, err := l.Accept()
		if err != nil {
			return
		}
		relay(outer, inner)
	}()
	var in strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&in, "<13>line %d of openssl\n", i)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, openssl, "s_client", "-quiet", "-no_ign_eof", "-connect", l.Addr().String(), "-CAfile", p.caFile, "-servername", "gw.test")
	cmd.Stdin = strings.NewReader(in.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	recs := h.Records(t, 5000)
	for i, rec := range recs {
		if want := fmt.Sprintf("<13>line %d of openssl", i); string(rec.Payload) != want {
			t.Fatalf("record %d: %q", i, rec.Payload)
		}
	}
	_ = l.Close()
	<-relayed
	h.Stop(t)
}

func TestValidate(t *testing.T) {
	for _, c := range []struct{ config, path string }{
		{`{}`, ""},
		{`{"protocol":"syslog","max_message":524288,"idle_timeout":600000000000,"tls":null}`, ""},
		{`{"protocol":"relp"}`, "protocol"},
		{`{"max_message":100}`, "max_message"},
		{`{"max_message":600000}`, "max_message"},
		{`{"idle_timeout":-1}`, "idle_timeout"},
		{`{"critical":"err"}`, ""},
		{`{"critical":null}`, ""},
		{`{"critical":"error"}`, "critical"},
		{`{"tls":{}}`, "tls.certificate"},
		{`{"tls":{"certificate":"a","certificate_file":"b","key_file":"c"}}`, "tls.certificate"},
		{`{"tls":{"certificate_file":"b"}}`, "tls.key_file"},
		{`{"tls":{"key_file":"b"}}`, "tls.certificate_file"},
		{`{"tls":{"certificate":"a","verify_clients":true}}`, "tls.client_ca_file"},
		{`{"tls":{"certificate":"a","client_ca_file":"b"}}`, "tls.client_ca_file"},
	} {
		traits, problems, err := tcp.New().Validate(t.Context(), json.RawMessage(c.config))
		if err != nil {
			t.Fatalf("%s: %v", c.config, err)
		}
		got := ""
		if len(problems) > 0 {
			got = strings.Join(problems[0].Path, ".")
		}
		if got != c.path || len(problems) > 1 {
			t.Fatalf("%s: problems %v, want one at %q", c.config, problems, c.path)
		}
		if wantTLS := strings.Contains(c.config, `"tls":{`); (traits.Encryption == "tls") != wantTLS {
			t.Fatalf("%s: encryption %q", c.config, traits.Encryption)
		}
	}
}

func TestConfigureSaysWhichFile(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := newPKI(t)
	for config, want := range map[string]string{
		`{"tls":{"certificate_file":"no.pem","key_file":"no.key"}}`:                            dir + "/no.pem: no such file",
		`{"tls":{"certificate":"other"}}`:                                                      `no certificate "other"`,
		`{"tls":{"certificate":"gw","verify_clients":true,"client_ca_file":"empty.pem"}}`:      "empty.pem holds no certificate",
		fmt.Sprintf(`{"tls":{"certificate_file":"empty.pem","key_file":%q}}`, p.serverKeyFile): "failed to find any PEM data",
	} {
		err := tcp.New().Configure(t.Context(), sdk.Setup{Config: json.RawMessage(config), RootDir: dir, Certificates: p.named})
		if sdk.CodeOf(err) != sdk.CodeConfig || !strings.Contains(err.Error(), want) {
			t.Fatalf("%s: %v, want %q", config, err, want)
		}
	}
}

// logged gives the receiver a logger whose output a test can read.
type logged struct {
	*tcp.Receiver
	out io.Writer
}

func (l logged) Configure(ctx context.Context, s sdk.Setup) error {
	s.Log = sdk.NewLogger(l.out)
	return l.Receiver.Configure(ctx, s)
}

func write(t *testing.T, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func poll(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func halfClose(t *testing.T, c net.Conn) {
	t.Helper()
	h, ok := c.(interface{ CloseWrite() error })
	if !ok {
		t.Fatalf("%T cannot half-close", c)
	}
	if err := h.CloseWrite(); err != nil {
		t.Fatal(err)
	}
}

func expectEnd(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection lives on: %v", err)
	}
}

func payloads(recs []sdk.Record) map[string]bool {
	m := map[string]bool{}
	for _, r := range recs {
		m[string(r.Payload)] = true
	}
	return m
}

// relay passes bytes and half-closes both ways.
func relay(a, b net.Conn) {
	done := make(chan struct{})
	pass := func(to, from net.Conn) {
		_, _ = io.Copy(to, from)
		if h, ok := to.(interface{ CloseWrite() error }); ok {
			_ = h.CloseWrite()
		}
	}
	go func() {
		defer close(done)
		pass(a, b)
	}()
	pass(b, a)
	<-done
	_ = a.Close()
	_ = b.Close()
}
