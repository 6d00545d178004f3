package gateway

import (
	"context"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/sdk"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// testOrigin opens an origin in a directory of the test.
func testOrigin(t *testing.T, dir, name string, o spool.Options) *origin {
	t.Helper()
	or, err := openOrigin(dir, name, o, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = or.Close() })
	return or
}

// testBatch encodes one batch of one receiver with the payloads given.
func testBatch(t testing.TB, receiver string, stream sdk.StreamID, payloads ...string) []byte {
	t.Helper()
	got := make(chan []byte, 1)
	w, err := sdk.NewWriter(keepBatch(got), sdk.Setup{Name: receiver, Stream: stream}, sdk.WriterOptions{Linger: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	var recs []sdk.Record
	for _, p := range payloads {
		recs = append(recs, sdk.Record{Kind: sdk.KindOpaque, Received: time.Unix(1, 0), Payload: []byte(p)})
	}
	remote := sdk.Connection{Remote: netip.MustParseAddrPort("192.0.2.1:9"), Interface: "eth0"}
	if _, err := w.Write(ctx, remote, recs); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	<-done //nolint:errcheck // ended by cancel
	return <-got
}

// keepBatch is an Intake that keeps a copy of each batch.
type keepBatch chan []byte

func (k keepBatch) Deliver(_ context.Context, _ sdk.Class, batch []byte, decided func(error)) error {
	k <- append([]byte(nil), batch...)
	go decided(nil)
	return nil
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}
