package hostile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
)

// sinkFile is the name of the file sink.
const sinkFile = "file"

// TestOrdinaryPlugin is the control of all: a plugin that does what it is there for has what it needs. The file sink
// makes, locks, names, cuts, renames and removes files, and has them on disk.
func TestOrdinaryPlugin(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	out := filepath.Join(filepath.Dir(s.place.Granted), "archive")
	for _, round := range []string{"missing directory", "files from before"} {
		t.Run(round, func(t *testing.T) { s.archive(t, out) })
	}
	path := filepath.Join(out, "records.ndjson")
	if mode := stat(t, path).Mode & 0o777; mode != 0o640 {
		t.Errorf("%s has mode %o, the configuration says 640", path, mode)
	}
	if entries, err := os.ReadDir(out); err != nil || len(entries) != 3 {
		t.Errorf("the file and the two closed ones that it may keep: %v, %v", entries, err)
	}
}

// archive runs the sink until it has acknowledged enough for its file to be closed many times.
func (s *site) archive(t *testing.T, out string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	i, err := s.Start(ctx, sdk.KindSink, sinkFile, "sink.file.test", pluginhost.Grant{Path: out, Write: true})
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, i)
	p, ok := i.Plugin().(sdk.Sink)
	if !ok {
		t.Fatalf("%T is no sink", i.Plugin())
	}
	body := fmt.Sprintf(`{"path":%q,"rotate_size":65536,"keep":2,"mode":"0640"}`, filepath.Join(out, "records.ndjson"))
	if err := p.Configure(ctx, sdk.Setup{Name: "sink.file.test", Config: json.RawMessage(body)}); err != nil {
		t.Fatal(err)
	}
	o := newOutlet(t, 20)
	if err := p.Run(ctx, nil, o); err != nil {
		t.Fatal(err)
	}
	if o.acked != uint64(len(o.batches)) {
		t.Errorf("%d of %d batches are acknowledged; it held because of %q", o.acked, len(o.batches), o.held)
	}
}

// outlet delivers one batch after the other, each when the one before is acknowledged.
type outlet struct {
	batches [][]byte
	turn    chan struct{}
	sent    uint64 // used by Next only
	acked   uint64 // used by Ack, and when Run is over
	held    string
}

// newOutlet makes batches whose lines take 20 KiB and more each.
func newOutlet(t *testing.T, n int) *outlet {
	t.Helper()
	o := &outlet{turn: make(chan struct{}, n+1)}
	stream := sdk.StreamID{byte(time.Now().UnixNano()), 1}
	for i := range n {
		r := sdk.Record{Kind: sdk.KindSyslog, Received: time.Now(), Payload: bytes.Repeat([]byte("x"), 20<<10)}
		raw, err := sdk.Encode(nil, sdk.Header{Receiver: "udp.test", Stream: stream, First: uint64(i + 1)}, []sdk.Record{r})
		if err != nil {
			t.Fatal(err)
		}
		o.batches = append(o.batches, raw)
	}
	o.turn <- struct{}{}
	return o
}

func (o *outlet) Next(ctx context.Context) (sdk.Delivery, error) {
	select {
	case <-o.turn:
	case <-ctx.Done():
		return sdk.Delivery{}, ctx.Err()
	}
	if o.sent == uint64(len(o.batches)) {
		return sdk.Delivery{}, io.EOF
	}
	o.sent++
	return sdk.Delivery{Number: o.sent, Class: sdk.ClassBulk, Data: o.batches[o.sent-1]}, nil
}

func (o *outlet) Ack(_ context.Context, through uint64, _ ...sdk.Rejection) error {
	if through > o.acked {
		o.acked = through
		o.turn <- struct{}{} // has room for every batch
	}
	return nil
}

func (o *outlet) Hold(_ context.Context, reason string) error {
	if reason != "" {
		o.held = reason
	}
	return nil
}
