package gateway

import (
	"strings"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

// BenchmarkFeed is the way from the spool to a sink that acknowledges at once. Bytes per operation should stay far below
// the size of a batch: buffers are used again.
func BenchmarkFeed(b *testing.B) {
	o, err := openOrigin(b.TempDir(), localOrigin, spool.Options{}, quiet())
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close() //nolint:errcheck // only read
	cursors, err := o.cursors("sink.bench")
	if err != nil {
		b.Fatal(err)
	}
	payload := strings.Repeat("x", 50_000)
	batch := testBatch(b, "udp.a", sdk.StreamID{1}, payload, payload, payload, payload)
	for range 256 {
		if _, err := o.logs[0].Append(b.Context(), 1, localEnvelope(time.Now()), batch); err != nil {
			b.Fatal(err)
		}
	}
	s := &sink{takes: []string{"udp.a"}, cursors: cursors, log: quiet(), letters: &deadLetters{}}
	f := s.feed(b.Context())
	if err := cursors[0].Rewind(1); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if i%256 == 0 {
			if err := cursors[0].Rewind(1); err != nil {
				b.Fatal(err)
			}
		}
		buf := f.buffer()
		e, err := cursors[0].Next(b.Context(), *buf)
		if err != nil {
			b.Fatal(err)
		}
		*buf = e.Data
		p := f.parcel(f.tracks[0], e)
		p.buf = buf
		offered := start(func() error { return f.push(b.Context(), p) })
		d, err := f.Next(b.Context())
		if err == nil {
			err = f.Ack(b.Context(), d.Number)
		}
		if err != nil || offered.wait() != nil {
			b.Fatal(err)
		}
	}
}
