package linktest_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/linktest"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
)

// After a day one session follows the other while batches flow, over a link that
// reorders: nothing is missing, nothing late.
func TestSessionsChangeWithoutAHole(t *testing.T) {
	if testing.Short() {
		t.Skip("a simulated day takes ten seconds")
	}
	sendDir, recvDir := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		link, source, sink := linktest.New(5, linktest.Faults{}), linktest.NewSource(diode.Bulk), linktest.NewSink()
		rx, err := recv.New(recv.Config{Paths: []recv.Path{farPath("loop", link, recvDir)}, Sink: sink, AlarmAfter: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		tx, err := send.New(send.Config{
			Link: "loop", PSK: psk(), KeyID: 1, Public: private().PublicKey(), Conn: link, StateDir: sendDir, Classes: bulkClass(source),
			Heartbeat: 10 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer start(t, rx.Run)()
		defer start(t, tx.Run)()
		source.Add([]byte("first"), 1)
		time.Sleep(24*time.Hour - 10*time.Second)
		first := tx.Stats().Session
		link.Set(linktest.Faults{Reorder: 0.3, Loss: 0.005})
		const count = 20_000
		for i := range count {
			source.Add(fmt.Appendf(make([]byte, 2000), "batch %d", i), 1)
			time.Sleep(4 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		if st := rx.Stats(); tx.Stats().Session == first || st.Sessions != 2 || st.Batches != count+1 || st.Late != 0 || st.Gaps != 0 {
			t.Errorf("session %d, then %d; %+v", first, tx.Stats().Session, st)
		}
	})
}
