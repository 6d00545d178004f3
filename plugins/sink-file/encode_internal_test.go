package sinkfile

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sluice-gateway/sluice/sdk"
)

// object is a line as encoding/json reads it.
type object struct {
	ID          string  `json:"id"`
	Receiver    string  `json:"receiver"`
	Remote      string  `json:"remote"`
	Endpoint    string  `json:"endpoint"`
	Interface   string  `json:"interface"`
	Kind        string  `json:"kind"`
	ReceivedAt  string  `json:"received_at"`
	EventAt     string  `json:"event_at"`
	DeliveredAt string  `json:"delivered_at"`
	Late        bool    `json:"late"`
	Text        *string `json:"payload"`
	Base64      []byte  `json:"payload_base64"`
}

func (o object) payload() []byte {
	if o.Text != nil {
		return []byte(*o.Text)
	}
	return o.Base64
}

func read(tb testing.TB, line []byte) object {
	tb.Helper()
	if len(line) == 0 || line[len(line)-1] != '\n' || strings.Count(string(line), "\n") != 1 {
		tb.Fatalf("not one line: %q", line)
	}
	var o object
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		tb.Fatalf("%q: %v", line, err)
	}
	if (o.Text == nil) == (o.Base64 == nil) {
		tb.Fatalf("%q: must have exactly one of the two payload keys", line)
	}
	return o
}

var (
	stream  = sdk.StreamID{0xab, 1}
	written = time.Date(2026, 11, 3, 12, 0, 0, 5, time.UTC)
)

func sample(seq uint64, payload string) sdk.Record {
	return sdk.Record{
		ID:         sdk.RecordID{Stream: stream, Sequence: seq},
		Connection: sdk.Connection{Endpoint: "agent-17", Remote: netip.MustParseAddrPort("192.0.2.7:514"), Interface: "eno1"},
		Kind:       sdk.KindSyslog, Received: written.Add(-time.Second), Event: written.Add(-time.Minute), Payload: []byte(payload),
	}
}

func TestLine(t *testing.T) {
	l := newLine("tcp.agents", written, false)
	r := sample(7, "<13>hello \"world\"\\ \x01\t\r\n\u2028 é")
	got := string(l.append(nil, &r))
	want := `{"id":"ab010000000000000000000000000000-7","receiver":"tcp.agents","remote":"192.0.2.7:514","endpoint":"agent-17",` +
		`"interface":"eno1","kind":"syslog","received_at":"2026-11-03T11:59:59.000000005Z","event_at":"2026-11-03T11:59:00.000000005Z",` +
		`"delivered_at":"2026-11-03T12:00:00.000000005Z","payload":"<13>hello \"world\"\\ \u0001\t\r\n` + "\u2028 é" + `"}` + "\n"
	if got != want {
		t.Fatalf("\n%s, want\n%s", got, want)
	}
	bare := sdk.Record{ID: sdk.RecordID{Sequence: 1}, Kind: sdk.KindOpaque, Received: written, Payload: []byte{0xff, 0}}
	l = newLine("udp.x", written, true)
	got = string(l.append(nil, &bare))
	want = `{"id":"00000000000000000000000000000000-1","receiver":"udp.x","kind":"opaque","received_at":"2026-11-03T12:00:00.000000005Z",` +
		`"delivered_at":"2026-11-03T12:00:00.000000005Z","late":true,"payload_base64":"/wA="}` + "\n"
	if got != want {
		t.Fatalf("\n%s, want\n%s", got, want)
	}
}

// FuzzLine holds every line to what encoding/json reads in it.
func FuzzLine(f *testing.F) {
	f.Add([]byte("hello"), "receiver", "endpoint", "eth0", "", uint64(1), int64(0), false)
	f.Add([]byte{0xff}, "r\"\n", "\xff\x00", "\u2028", "zone\"%", uint64(1)<<63, int64(-1), true)
	f.Add([]byte{}, "", "", "", "", uint64(0), int64(1)<<62, false)
	f.Fuzz(func(t *testing.T, payload []byte, receiver, endpoint, iface, zone string, seq uint64, nano int64, late bool) {
		r := sdk.Record{
			ID: sdk.RecordID{Stream: stream, Sequence: seq}, Kind: sdk.Kind(seq), Received: time.Unix(0, nano), Payload: payload,
			Connection: sdk.Connection{
				Endpoint: endpoint, Interface: iface,
				Remote: netip.AddrPortFrom(netip.IPv6LinkLocalAllNodes().WithZone(zone), 9),
			},
		}
		l := newLine(receiver, written, late)
		raw := l.append(nil, &r)
		o := read(t, raw)
		valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		if string(o.payload()) != string(payload) || (o.Text != nil) != utf8.Valid(payload) {
			t.Fatalf("payload %q, was %q", o.payload(), payload)
		}
		if o.Receiver != valid(receiver) || o.Endpoint != valid(endpoint) || o.Interface != valid(iface) || o.Late != late {
			t.Fatalf("%+v", o)
		}
		if o.Remote != valid(r.Connection.Remote.String()) || o.ReceivedAt != r.Received.UTC().Format(time.RFC3339Nano) {
			t.Fatalf("%+v", o)
		}
		if id, ok := idOf(raw); !ok || id != r.ID || o.ID != r.ID.String() {
			t.Fatalf("id %v %t, was %v", id, ok, r.ID)
		}
	})
}

// FuzzIDOf reads ids from files that anybody may have written.
func FuzzIDOf(f *testing.F) {
	r := sample(1, "x")
	l := newLine("r", written, false)
	f.Add(l.append(nil, &r))
	f.Add([]byte(linePrefix))
	f.Add([]byte(linePrefix + "00000000000000000000000000000000-18446744073709551616\""))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, ok := idOf(b); ok && !strings.HasPrefix(strings.ToLower(string(b[len(linePrefix):])), id.Stream.String()) {
			t.Fatalf("%q: %v", b, id)
		}
	})
}

func BenchmarkLine(b *testing.B) {
	text := "<165>1 2026-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 - An application event log entry of a usual size"
	for name, payload := range map[string]string{"text": text, "base64": "\xff" + text, "escapes": strings.Repeat(`"\`, 60)} {
		b.Run(name, func(b *testing.B) {
			r := sample(1_000_000, payload)
			l := newLine("tcp.agents", written, false)
			var buf []byte
			b.ReportAllocs()
			for b.Loop() {
				buf = l.append(buf[:0], &r)
			}
			b.SetBytes(int64(len(buf)))
		})
	}
}

func TestSeen(t *testing.T) {
	s := newSeen()
	for _, n := range []uint64{5, 6, 7, 1, 2, 9, 6, 1 << 63, 1<<64 - 1, 3} {
		s.add(sdk.RecordID{Stream: stream, Sequence: n})
	}
	s.sort()
	got := ""
	for _, n := range []uint64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1 << 63, 1<<64 - 2, 1<<64 - 1} {
		got += fmt.Sprint(s.has(sdk.RecordID{Stream: stream, Sequence: n}), " ")
	}
	want := "false true true true false true true true false true false true false true "
	if got != want {
		t.Fatalf("%s, want %s", got, want)
	}
	if s.has(sdk.RecordID{Sequence: 5}) {
		t.Fatal("another stream's id")
	}
	if n := len(s.ranges[stream]); n != 5 {
		t.Fatalf("%d ranges", n)
	}
}
