package sdk_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"pgregory.net/rapid"

	"github.com/sluice-gateway/sluice/sdk"
)

func header() sdk.Header {
	return sdk.Header{
		Stream: sdk.StreamID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, First: 7, Receiver: "udp.kics-agents",
	}
}

// decode returns copies of all records of a batch.
func decode(t testing.TB, raw []byte) (sdk.Header, []sdk.Record) {
	t.Helper()
	h, recs, err := tryDecode(raw)
	if err != nil {
		t.Fatal(err)
	}
	return h, recs
}

func tryDecode(raw []byte) (sdk.Header, []sdk.Record, error) {
	var d sdk.Decoder
	h, err := d.Open(raw)
	if err != nil {
		return h, nil, err
	}
	var recs []sdk.Record
	for {
		var r sdk.Record
		more, err := d.Next(&r)
		if err != nil || !more {
			return h, recs, err
		}
		r.Payload = slices.Clone(r.Payload)
		recs = append(recs, r)
	}
}

// remotes that matter: none, IPv4, IPv6, mapped, with a zone.
var remotes = []netip.AddrPort{
	{},
	netip.MustParseAddrPort("192.0.2.7:514"),
	netip.MustParseAddrPort("[2001:db8::7]:65535"),
	netip.MustParseAddrPort("[::ffff:192.0.2.7]:1"),
	netip.MustParseAddrPort("[fe80::7%eth-plant]:6514"),
	netip.AddrPortFrom(netip.Addr{}, 9),
}

func drawRecord(t *rapid.T) sdk.Record {
	r := sdk.Record{
		Connection: sdk.Connection{
			Endpoint:  rapid.StringN(0, 40, 300).Draw(t, "endpoint"),
			Remote:    rapid.SampledFrom(remotes).Draw(t, "remote"),
			Interface: rapid.SampledFrom([]string{"", "eth0", "eth-plant"}).Draw(t, "interface"),
		},
		Kind:     sdk.Kind(rapid.IntRange(0, 127).Draw(t, "kind")),
		Received: time.Unix(0, rapid.Int64().Draw(t, "received")),
		Payload:  rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload"),
	}
	if rapid.Bool().Draw(t, "has event") {
		r.Event = time.Unix(rapid.Int64Range(-9_000_000_000, 9_000_000_000).Draw(t, "event"), 123456789)
	}
	return r
}

func TestARoundTripKeepsEverything(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.SliceOfN(rapid.Custom(drawRecord), 1, 50).Draw(t, "records")
		h := header()
		h.First = rapid.Uint64Range(1, math.MaxUint64-50).Draw(t, "first")
		h.Zstd = rapid.Bool().Draw(t, "zstd")
		raw, err := sdk.Encode(nil, h, want)
		if err != nil {
			t.Fatal(err)
		}
		got, recs, err := tryDecode(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got.Stream != h.Stream || got.First != h.First || got.Receiver != h.Receiver || got.Zstd != h.Zstd ||
			int(got.Count) != len(want) || len(recs) != len(want) {
			t.Fatalf("header %+v with %d records, want %+v with %d", got, len(recs), h, len(want))
		}
		for i := range want {
			same(t, i, &recs[i], &want[i], sdk.RecordID{Stream: h.Stream, Sequence: h.First + uint64(i)})
		}
	})
}

func same(t interface{ Fatalf(string, ...any) }, i int, got, want *sdk.Record, id sdk.RecordID) {
	if got.ID != id || got.Connection != want.Connection || got.Kind != want.Kind ||
		!got.Received.Equal(want.Received) || !got.Event.Equal(want.Event) || !bytes.Equal(got.Payload, want.Payload) {
		t.Fatalf("record %d: %+v, want %+v with id %v", i, got, want, id)
	}
}

func TestTimesThatCannotBeCarried(t *testing.T) {
	before := time.Now()
	raw, err := sdk.Encode(nil, header(), []sdk.Record{
		{Kind: sdk.KindSyslog, Received: before, Event: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)},
		{Kind: sdk.KindSyslog, Event: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, recs := decode(t, raw)
	if !recs[0].Event.IsZero() || !recs[1].Event.IsZero() {
		t.Errorf("absurd event times were altered to %v and %v instead of left out", recs[0].Event, recs[1].Event)
	}
	if got := recs[1].Received; got.Before(before) || got.After(time.Now()) {
		t.Errorf("a record without a time was received at %v", got)
	}
}

func TestEncodeRefuses(t *testing.T) {
	one := []sdk.Record{{Kind: sdk.KindOpaque}}
	var many []sdk.Record
	for range 2 {
		many = append(many, sdk.Record{Kind: sdk.KindOpaque, Payload: make([]byte, 600<<10)})
	}
	tests := []struct {
		name string
		head func(*sdk.Header)
		recs []sdk.Record
		code sdk.Code
	}{
		{"no receiver", func(h *sdk.Header) { h.Receiver = "" }, one, sdk.CodeInternal},
		{"long receiver", func(h *sdk.Header) { h.Receiver = strings.Repeat("x", 256) }, one, sdk.CodeInternal},
		{"no records", func(*sdk.Header) {}, nil, sdk.CodeInternal},
		{"sequence 0", func(h *sdk.Header) { h.First = 0 }, one, sdk.CodeInternal},
		{"sequence wraps", func(h *sdk.Header) { h.First = math.MaxUint64 }, one, sdk.CodeInternal},
		{"large record", func(*sdk.Header) {}, []sdk.Record{{Payload: make([]byte, sdk.MaxRecordBytes+1)}}, sdk.CodeTooLarge},
		{"large batch", func(*sdk.Header) {}, many, sdk.CodeTooLarge},
		{"kind of eight bits", func(*sdk.Header) {}, []sdk.Record{{Kind: 128}}, sdk.CodeInternal},
		{"long endpoint", func(*sdk.Header) {}, []sdk.Record{{Connection: sdk.Connection{Endpoint: strings.Repeat("x", 2049)}}}, sdk.CodeTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := header()
			tt.head(&h)
			raw, err := sdk.Encode([]byte("kept"), h, tt.recs)
			if sdk.CodeOf(err) != tt.code || string(raw) != "kept" {
				t.Errorf("%q, %v, want code %s", raw, err, tt.code)
			}
		})
	}
}

// TestDecodeRefuses damages a good batch in every field.
func TestDecodeRefuses(t *testing.T) {
	good, err := sdk.Encode(nil, header(), []sdk.Record{
		{Connection: sdk.Connection{Endpoint: "cn=a", Remote: remotes[1], Interface: "eth0"}, Kind: sdk.KindOpaque, Received: time.Unix(1, 0), Payload: []byte("abc")},
	})
	if err != nil {
		t.Fatal(err)
	}
	body := 45 + len(header().Receiver)
	tests := []struct {
		name   string
		damage func(b []byte) []byte
		want   string
	}{
		{"empty", func([]byte) []byte { return nil }, "0 bytes"},
		{"short", func(b []byte) []byte { return b[:45] }, "45 bytes"},
		{"too long", func(b []byte) []byte { return append(b, make([]byte, sdk.MaxBatchBytes)...) }, "the limit is"},
		{"magic", func(b []byte) []byte { b[0] = 'X'; return b }, "magic"},
		{"version", func(b []byte) []byte { b[2] = 2; return b }, "version 2, this program reads version 1"},
		{"flags", func(b []byte) []byte { b[3] = 2; return b }, "unknown flags 0x2"},
		{"zstd of nothing", func(b []byte) []byte { b[3] = 1; return b }, "zstd"},
		{"first 0", func(b []byte) []byte { clear(b[20:28]); return b }, "first sequence 0"},
		{"first wraps", func(b []byte) []byte { binary.LittleEndian.PutUint64(b[20:], math.MaxUint64); return b }, "first sequence"},
		{"no records", func(b []byte) []byte { clear(b[28:32]); return b }, "no records"},
		{"a record more", func(b []byte) []byte { b[28] = 2; return b }, "connection index"},
		{"more records than bytes", func(b []byte) []byte { b[30] = 2; return b }, "131073 records in a body of"},
		{"body length", func(b []byte) []byte { b[40]++; return b }, "announced"},
		{"body limit", func(b []byte) []byte { b[43] = 1; return b }, "the limit is"},
		{"name 0", func(b []byte) []byte { b[44] = 0; return b }, "receiver name of 0"},
		{"name beyond", func(b []byte) []byte { b[44] = 255; return b }, "receiver name of 255"},
		{"connections", func(b []byte) []byte { b[body] = 127; return b }, "127 connections"},
		{"endpoint length", func(b []byte) []byte { b[body+1] = 120; return b }, "endpoint of 120 bytes"},
		{"remote length", func(b []byte) []byte { b[body+6] = 1; return b }, "remote address"},
		{"connection index", func(b []byte) []byte { b[body+18] = 9; return b }, "connection 9 of 1"},
		{"payload length", func(b []byte) []byte { b[body+21] = 100; return b }, "payload of 100 bytes"},
		{"payload shorter", func(b []byte) []byte { b[body+21] = 1; return b }, "after the last record"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, recs, err := tryDecode(tt.damage(slices.Clone(good)))
			if !errors.Is(err, sdk.ErrBatch) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d records, %v, want %q", len(recs), err, tt.want)
			}
		})
	}
	for cut := range good {
		if _, _, err := tryDecode(good[:cut]); !errors.Is(err, sdk.ErrBatch) {
			t.Errorf("cut at %d: %v", cut, err)
		}
	}
}

// 48 MiB of zeros compress to a few kilobytes, with and without their length in front.
func TestDecompressionIsBounded(t *testing.T) {
	zeros := make([]byte, 48<<20)
	var streamed bytes.Buffer
	w, err := zstd.NewWriter(&streamed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(zeros); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	raw, err := sdk.Encode(nil, header(), []sdk.Record{{Kind: sdk.KindOpaque, Payload: make([]byte, 100)}})
	if err != nil {
		t.Fatal(err)
	}
	head := raw[:45+len(header().Receiver)]
	head[3] = 1
	for name, bomb := range map[string][]byte{"whole": squeeze(t, zeros), "streamed": streamed.Bytes()} {
		var d sdk.Decoder
		before := memory()
		if _, err := d.Open(append(slices.Clone(head), bomb...)); !errors.Is(err, sdk.ErrBatch) {
			t.Errorf("%s: %v", name, err)
		}
		if used := memory() - before; used > 4*sdk.MaxBodyBytes {
			t.Errorf("%s: %d bytes were allocated, the body's limit is %d", name, used, sdk.MaxBodyBytes)
		}
	}
}

// memory is what the process has allocated so far, freed or not.
func memory() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestVectors checks the file that docs/formats/batch.md refers to: what a second implementation must read and write.
func TestVectors(t *testing.T) {
	file, err := os.ReadFile("testdata/batch.txt")
	if err != nil {
		t.Fatal(err)
	}
	vectors := strings.SplitSeq(strings.TrimSpace(string(file)), "\n\n")
	for v := range vectors {
		v = strings.TrimSpace(v)
		if strings.HasPrefix(v, "#") {
			continue
		}
		name, rest, _ := strings.Cut(v, "\n")
		hexBytes, want, _ := strings.Cut(rest, "---\n")
		t.Run(name, func(t *testing.T) {
			raw, err := hex.DecodeString(strings.Join(strings.Fields(hexBytes), ""))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimSpace(describe(raw)); got != strings.TrimSpace(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
			h, recs, err := tryDecode(raw)
			if err != nil || h.Zstd {
				return // what a compressor writes may change
			}
			again, err := sdk.Encode(nil, h, recs)
			if err != nil || !bytes.Equal(again, raw) {
				t.Errorf("encoded again: %x, %v", again, err)
			}
		})
	}
}

// describe prints a batch as the vector file does.
func describe(raw []byte) string {
	h, recs, err := tryDecode(raw)
	if err != nil {
		return "error: " + err.Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "receiver %s count %d base %d body %d zstd %t\n", h.Receiver, h.Count, h.Base.UnixNano(), h.BodyBytes, h.Zstd)
	for _, r := range recs {
		fmt.Fprintf(&b, "%v %q %v %q %v received %d", r.ID, r.Connection.Endpoint, r.Connection.Remote, r.Connection.Interface, r.Kind, r.Received.UnixNano())
		if !r.Event.IsZero() {
			fmt.Fprintf(&b, " event %d", r.Event.UnixNano())
		}
		fmt.Fprintf(&b, " %q\n", r.Payload)
	}
	return b.String()
}
