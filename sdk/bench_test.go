package sdk_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// benchRecords are what a syslog receiver hands over per read: messages of 200 bytes of one connection.
func benchRecords(n int) []sdk.Record {
	recs := make([]sdk.Record, n)
	payload := make([]byte, 200)
	for i := range payload {
		payload[i] = "<13>1 2026-11-23T17:00:00Z press-7 epp - - - "[i%45]
	}
	now := time.Unix(1_795_000_000, 0)
	for i := range recs {
		recs[i] = sdk.Record{Kind: sdk.KindSyslog, Received: now, Event: now.Add(-time.Second), Payload: payload}
	}
	return recs
}

// swallow decides at once.
type swallow struct{ bytes int }

func (s *swallow) Deliver(_ context.Context, _ sdk.Class, batch []byte, decided func(error)) error {
	s.bytes += len(batch)
	decided(nil)
	return nil
}

func report(b *testing.B, events int) {
	b.Helper()
	b.ReportMetric(float64(events)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkWrite(b *testing.B) {
	for _, compression := range []string{"none", "zstd"} {
		b.Run(compression, func(b *testing.B) {
			w, err := sdk.NewWriter(&swallow{}, sdk.Setup{Name: "tcp.bench", Compression: compression}, sdk.WriterOptions{})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var wg sync.WaitGroup
			wg.Go(func() { _ = w.Run(ctx) })
			recs := benchRecords(100)
			c := sdk.Connection{Endpoint: "urn:plant:press-7", Remote: remotes[1], Interface: "eth0"}
			b.ReportAllocs()
			b.SetBytes(100 * 200)
			for b.Loop() {
				if _, err := w.Write(ctx, c, recs); err != nil {
					b.Fatal(err)
				}
			}
			report(b, 100)
			cancel()
			wg.Wait()
		})
	}
}

func BenchmarkWriteFrom(b *testing.B) {
	w, err := sdk.NewWriter(&swallow{}, sdk.Setup{Name: "udp.bench"}, sdk.WriterOptions{})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.Run(ctx) })
	recs := benchRecords(100)
	for i := range recs { // ten endpoints that take turns: the worst case of the connection table
		recs[i].Connection = sdk.Connection{Endpoint: string(rune('a' + i%10)), Remote: remotes[1], Interface: "eth0"}
	}
	b.ReportAllocs()
	b.SetBytes(100 * 200)
	for b.Loop() {
		if _, err := w.WriteFrom(ctx, recs); err != nil {
			b.Fatal(err)
		}
	}
	report(b, 100)
	cancel()
	wg.Wait()
}

func BenchmarkDecode(b *testing.B) {
	for _, squeezed := range []bool{false, true} {
		name := map[bool]string{false: "none", true: "zstd"}[squeezed]
		b.Run(name, func(b *testing.B) {
			recs := benchRecords(1000)
			h := header()
			h.Zstd = squeezed
			raw, err := sdk.Encode(nil, h, recs)
			if err != nil {
				b.Fatal(err)
			}
			var d sdk.Decoder
			var r sdk.Record
			b.ReportAllocs()
			b.SetBytes(1000 * 200)
			for b.Loop() {
				if _, err := d.Open(raw); err != nil {
					b.Fatal(err)
				}
				for {
					more, err := d.Next(&r)
					if err != nil {
						b.Fatal(err)
					}
					if !more {
						break
					}
				}
			}
			report(b, 1000)
		})
	}
}

// BenchmarkReceiverStream is a receiver's whole way over the border: Write, gRPC in memory, decision, acknowledgement.
func BenchmarkReceiverStream(b *testing.B) {
	const perWrite = 100
	out := &swallow{}
	c := receiver(b, func(ctx context.Context, out sdk.Intake) error {
		ctx, cancel := context.WithCancel(ctx)
		var wg sync.WaitGroup
		defer wg.Wait()
		defer cancel()
		w, err := sdk.NewWriter(out, sdk.Setup{Name: "tcp.bench"}, sdk.WriterOptions{})
		if err != nil {
			return err
		}
		wg.Go(func() { _ = w.Run(ctx) })
		recs := benchRecords(perWrite)
		for range b.N {
			if _, err := w.Write(ctx, sdk.Connection{Remote: remotes[1]}, recs); err != nil {
				return err
			}
		}
		return w.Flush(ctx)
	})
	b.ReportAllocs()
	b.SetBytes(perWrite * 200)
	b.ResetTimer()
	if err := c.Run(b.Context(), nil, out); err != nil {
		b.Fatal(err)
	}
	report(b, perWrite)
}

// BenchmarkSinkStream is a sink's whole way: delivery over gRPC in memory, decoding, acknowledgement.
func BenchmarkSinkStream(b *testing.B) {
	const perBatch = 1000
	raw, err := sdk.Encode(nil, header(), benchRecords(perBatch))
	if err != nil {
		b.Fatal(err)
	}
	c := sink(b, func(ctx context.Context, in sdk.Outlet) error {
		var d sdk.Decoder
		var r sdk.Record
		for {
			got, err := in.Next(ctx)
			if err == io.EOF { //nolint:errorlint // Outlet.Next returns it bare
				return nil
			}
			if err != nil {
				return err
			}
			if _, err := d.Open(got.Data); err != nil {
				return err
			}
			for more := true; more; {
				if more, err = d.Next(&r); err != nil {
					return err
				}
			}
			if err := in.Ack(ctx, got.Number); err != nil {
				return err
			}
		}
	})
	n := 0
	o := &cursor{next: func(context.Context) (sdk.Delivery, error) {
		if n++; n > b.N {
			return sdk.Delivery{}, io.EOF
		}
		return sdk.Delivery{Number: uint64(n), Data: raw}, nil
	}}
	b.ReportAllocs()
	b.SetBytes(perBatch * 200)
	b.ResetTimer()
	if err := c.Run(b.Context(), nil, o); err != nil {
		b.Fatal(err)
	}
	report(b, perBatch)
}

// TestNoAllocationPerRecord holds the hot path to what the benchmarks show.
func TestNoAllocationPerRecord(t *testing.T) {
	const records = 1000
	w, stop := writer(t, &swallow{}, sdk.WriterOptions{})
	recs := benchRecords(records)
	c := sdk.Connection{Remote: remotes[1]}
	perWrite := testing.AllocsPerRun(100, func() {
		if _, err := w.Write(t.Context(), c, recs); err != nil {
			t.Fatal(err)
		}
	})
	_ = stop()
	if perWrite > records/20 { // a batch of 256 KiB holds 1200 of them and costs a handful
		t.Errorf("Write of %d records allocates %v times", records, perWrite)
	}
	raw, err := sdk.Encode(nil, header(), recs)
	if err != nil {
		t.Fatal(err)
	}
	var d sdk.Decoder
	var r sdk.Record
	perBatch := testing.AllocsPerRun(100, func() {
		if _, err := d.Open(raw); err != nil {
			t.Fatal(err)
		}
		for more := true; more; {
			if more, err = d.Next(&r); err != nil {
				t.Fatal(err)
			}
		}
	})
	if perBatch > 5 {
		t.Errorf("decoding %d records allocates %v times", records, perBatch)
	}
}
