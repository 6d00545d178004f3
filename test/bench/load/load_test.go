package load_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/leodido/go-syslog/v4/rfc5424"
	"go.uber.org/goleak"

	"github.com/sluice-gateway/sluice/test/bench/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestFrames: messages are RFC 5424 by the judgement of another program, have their size, are distinct and repeatable.
func TestFrames(t *testing.T) {
	f, again := load.NewFrames(3), load.NewFrames(3)
	seen := map[string]bool{}
	for n := range uint64(2000) {
		b := f.Append(nil, n)
		if len(b) != load.MessageBytes || seen[string(b)] || !bytes.Equal(b, again.Append(nil, n)) {
			t.Fatalf("message %d: %d bytes, seen %t: %s", n, len(b), seen[string(b)], b)
		}
		seen[string(b)] = true
		if m, err := rfc5424.NewParser().Parse(b); err != nil || !m.Valid() {
			t.Fatalf("message %d: %v: %s", n, err, b)
		}
		if got, ok := load.Number(b); !ok || got != n {
			t.Fatalf("message %d: number %d, %t", n, got, ok)
		}
	}
	if want := strconv.Itoa(load.MessageBytes) + " " + string(f.Append(nil, 5)); string(f.AppendCounted(nil, 5)) != want {
		t.Errorf("counted: %s", f.AppendCounted(nil, 5))
	}
}

func TestNumber(t *testing.T) {
	for _, test := range []struct {
		line string
		want uint64
		ok   bool
	}{
		{`<1>1 - [run@32473 n="000000000042"] x`, 42, true},
		{`{"payload":"<1>1 - [run@32473 n=\"000000000042\"] x"}`, 42, true},
		{`no number`, 0, false},
		{`<1>1 - [run@32473 n="00042"] x`, 0, false},
		{` n="`, 0, false},
		{``, 0, false},
	} {
		if got, ok := load.Number([]byte(test.line)); got != test.want || ok != test.ok {
			t.Errorf("%q: %d, %t", test.line, got, ok)
		}
	}
}

func TestLatency(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	l := load.NewLatency(3)
	f := load.NewFrames(1)
	for n := range uint64(3) {
		l.OnSend(n)
	}
	done := make(chan error)
	go func() { done <- l.Tail(t.Context(), path) }()
	var text []byte
	for _, n := range []uint64{2, 0, 0, 1} { // a message that comes twice counts once
		text = append(f.Append(text, n), '\n')
	}
	half := len(text) - 100
	if err := os.WriteFile(path, text[:half], 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(text[half:]); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if d := l.Times(); d.Count != 3 || d.P50 <= 0 || d.Max < d.P99 || d.P99 < d.P50 {
		t.Errorf("%+v", d)
	}
	if d := load.NewLatency(1).Times(); d.Count != 0 {
		t.Errorf("%+v", d)
	}
}

func TestSendUDP(t *testing.T) {
	var lc net.ListenConfig
	conn, err := lc.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // datagrams
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	f := load.NewFrames(1)
	sent, err := load.SendUDP(ctx, conn.LocalAddr().String(), f, 20, 1000)
	if err != nil || sent.Count != 20 || sent.Errors != 0 {
		t.Fatalf("%+v, %v", sent, err)
	}
	buf := make([]byte, 2000)
	for n := range uint64(20) {
		k, _, err := conn.ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:k], f.Append(nil, n)) {
			t.Fatalf("datagram %d: %v: %s", n, err, buf[:k])
		}
	}
}

func TestConnectErrors(t *testing.T) {
	if _, err := load.Connect(t.Context(), load.Stream{CAFile: filepath.Join(t.TempDir(), "none")}); err == nil {
		t.Error("no authority, no error")
	}
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load.Connect(t.Context(), load.Stream{CAFile: empty}); err == nil {
		t.Error("an empty authority, no error")
	}
}

func BenchmarkFrames(b *testing.B) {
	f := load.NewFrames(1)
	buf := make([]byte, 0, 300)
	n := uint64(0)
	for b.Loop() {
		buf = f.AppendCounted(buf[:0], n)
		n++
	}
}
