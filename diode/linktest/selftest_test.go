package linktest_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// A self-test tells what the link loses, and the batches go on behind it.
func TestSelfTestOverTheLink(t *testing.T) {
	sendDir, recvDir := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		link, source, sink := linktest.New(3, linktest.Faults{Loss: 0.005, Burst: 4}), linktest.NewSource(diode.Bulk), linktest.NewSink()
		rx, err := recv.New(recv.Config{Paths: []recv.Path{farPath("loop", link, recvDir)}, Sink: sink})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := send.New(send.Config{
			Link: "loop", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: link, StateDir: sendDir, Classes: bulkClass(source),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer start(t, rx.Run)()
		defer start(t, tx.Run)()
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := tx.Test(ctx, send.TestPlan{Rates: []uint64{10_000_000, 30_000_000}, Each: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		source.Add([]byte("behind the test"), 1)
		time.Sleep(5 * time.Second)
		got, ok := rx.TestReport("loop")
		if !ok || !got.Done || len(got.Steps) != 2 || got.Rate != 30_000_000 || got.DesignLoss < 0.02 {
			t.Fatalf("%+v", got)
		}
		for _, s := range got.Steps {
			if s.Received+s.Lost != s.Count || s.Loss() < 0.01 || s.Loss() > 0.03 || s.LongestRun < 4 {
				t.Errorf("%+v, loss %v", s, s.Loss())
			}
		}
		if e := sink.Events(); len(e) != 1 || e[0].Batch.Seq != 1 {
			t.Errorf("%d events", len(e))
		}
	})
}
