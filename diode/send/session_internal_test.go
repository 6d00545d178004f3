package send

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
)

// A session that has sealed its share of frames, or is old, is followed by
// another; nothing is lost or out of order, and no counter comes twice.
func TestSessionsFollowEachOther(t *testing.T) {
	for name, l := range map[string]limits{
		"frames": {frames: 400, age: time.Hour},
		"age":    {frames: frame.MaxFrames, age: 3 * time.Second},
	} {
		sendDir, recvDir := t.TempDir(), t.TempDir()
		synctest.Test(t, func(t *testing.T) {
			link, sink := linktest.New(1, linktest.Faults{}), linktest.NewSink()
			source := linktest.NewSource(diode.Bulk)
			seen := make(map[[2]uint64]bool)
			link.Tap(func(p []byte) {
				var h frame.Header
				if h.Parse(p) != nil || h.Kind == frame.KindAnnounce {
					return
				}
				if seen[[2]uint64{h.Session, h.Counter}] {
					t.Errorf("%s: counter %d of session %d twice", name, h.Counter, h.Session)
				}
				seen[[2]uint64{h.Session, h.Counter}] = true
			})
			rx, err := recv.New(recv.Config{
				Link: "test", Keys: []recv.Key{{ID: 1, PSK: [32]byte{1}}}, Conn: link, StateDir: recvDir, Sink: sink,
			})
			if err != nil {
				t.Fatal(err)
			}
			tx, err := New(Config{
				Link: "test", PSK: [32]byte{1}, KeyID: 1, Epoch: [16]byte{1}, Conn: link, StateDir: sendDir, Interleave: 2,
				Sources: map[diode.Class]Source{diode.Bulk: source},
			})
			if err != nil {
				t.Fatal(err)
			}
			tx.limits = l
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 2)
			go func() { done <- tx.Run(ctx) }()
			go func() { done <- rx.Run(ctx) }()
			for i := range 40 {
				source.Add(make([]byte, 1000*i), 1)
				time.Sleep(200 * time.Millisecond)
			}
			time.Sleep(time.Second)
			cancel()
			for range 2 {
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			events := sink.Events()
			for i, e := range events {
				if e.IsGap || e.Batch.Late || e.Batch.Seq != uint64(i+1) {
					t.Fatalf("%s: event %d: %+v", name, i, e.Gap)
				}
			}
			if st := rx.Stats(); len(events) != 40 || st.Sessions < 2 || source.SentThrough() != 40 {
				t.Errorf("%s: %d batches over %d sessions, sent through %d", name, len(events), st.Sessions, source.SentThrough())
			}
		})
	}
}
