package sdk_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sluice-gateway/sluice/sdk"
)

func squeeze(t testing.TB, b []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	return enc.EncodeAll(b, nil)
}

func seeds(f *testing.F) {
	f.Helper()
	recs := []sdk.Record{
		{Connection: sdk.Connection{Endpoint: "cn=plc-7", Remote: remotes[1], Interface: "eth0"}, Kind: sdk.KindSyslog, Received: time.Unix(1, 5), Event: time.Unix(0, 9), Payload: []byte("<13>1 - - - - - - x")},
		{Connection: sdk.Connection{Remote: remotes[4]}, Kind: sdk.KindOpaque, Received: time.Unix(2, 0)},
		{Kind: sdk.KindOpaque, Received: time.Unix(-1, 0), Payload: bytes.Repeat([]byte("z"), 300)},
	}
	for _, squeezed := range []bool{false, true} {
		h := header()
		h.Zstd = squeezed
		raw, err := sdk.Encode(nil, h, recs)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)-1])
		f.Add(raw[:50])
	}
	f.Add([]byte{})
	f.Add([]byte("SB\x01\x00"))
}

func FuzzParseHeader(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, body, err := sdk.ParseHeader(raw)
		if err != nil {
			if !errors.Is(err, sdk.ErrBatch) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		if h.Count == 0 || h.First == 0 || h.Receiver == "" || len(body) >= len(raw) || h.BodyBytes > sdk.MaxBodyBytes {
			t.Fatalf("accepted %+v with %d bytes of body", h, len(body))
		}
	})
}

// FuzzDecoder: what decodes must encode, and to the same records; the rest must be an ErrBatch.
func FuzzDecoder(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		h, recs, err := tryDecode(raw)
		if err != nil {
			if !errors.Is(err, sdk.ErrBatch) {
				t.Fatalf("unclassified: %v", err)
			}
			return
		}
		if len(recs) != int(h.Count) {
			t.Fatalf("%d records, header says %d", len(recs), h.Count)
		}
		h.Zstd = false
		again, err := sdk.Encode(nil, h, recs)
		if sdk.CodeOf(err) == sdk.CodeTooLarge {
			return // a compressed batch may hold more than an uncompressed one
		}
		if err != nil {
			t.Fatal(err)
		}
		_, recs2, err := tryDecode(again)
		if err != nil || len(recs2) != len(recs) {
			t.Fatalf("%d records of %d, %v", len(recs2), len(recs), err)
		}
		for i := range recs {
			if recs[i].Event.IsZero() != recs2[i].Event.IsZero() {
				continue // outside the years that an encoder writes
			}
			same(t, i, &recs2[i], &recs[i], recs[i].ID)
		}
	})
}
