package gateway

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// A plugin that dies while the spool still writes what it delivered has lost nothing of that.
func TestWhatTheSpoolHasIsNotLostWithThePlugin(t *testing.T) {
	r := &receiver{conf: &config.Receiver{}, label: "udp.a", origin: testOrigin(t, t.TempDir(), localOrigin, spool.Options{}), log: quiet()}
	r.part.traits.Network = "udp"
	in := r.intake()
	hold := make(chan struct{})
	held := make(chan struct{})
	// The writer decides in order: while it waits in the first decision, the second batch is undecided.
	if err := r.origin.logs[0].AppendAsync(soon(t), 0, func(uint64, error) { close(held); <-hold }, []byte("first")); err != nil {
		t.Fatal(err)
	}
	<-held
	if err := in.Deliver(soon(t), sdk.ClassBulk, testBatch(t, "udp.a", in.stream, "x", "y"), func(error) {}); err != nil {
		t.Fatal(err)
	}
	if got := in.undecided.Load(); got != 1 {
		t.Errorf("%d undecided, want 1", got)
	}
	r.account(relay.Handed{Datagrams: 3}, in)
	if got := r.counts.dropped.snapshot()["plugin-ended"].Records; got != 1 {
		t.Errorf("%d lost, want the one that was never delivered", got)
	}
	close(hold)
}

func TestADeliverThatIsGivenUpLeavesNothingUndecided(t *testing.T) {
	o := testOrigin(t, t.TempDir(), localOrigin, spool.Options{})
	in := &intake{receiver: "udp.a", stream: sdk.StreamID{1}, origin: o, counts: &receiverCounts{}, log: quiet()}
	batch := testBatch(t, "udp.a", sdk.StreamID{1}, "x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := in.Deliver(ctx, sdk.ClassBulk, batch, func(error) { t.Error("decided") }); err == nil {
		t.Error("taken")
	}
	if in.undecided.Load() != 0 || in.taken.Load() != 0 {
		t.Errorf("%d undecided, %d taken", in.undecided.Load(), in.taken.Load())
	}
}

// Records that the spool could not write before it was closed are a loss where no endpoint was told to keep them.
func TestRecordsThatAClosedSpoolCouldNotWriteAreCounted(t *testing.T) {
	for answers, want := range map[bool]uint64{false: 3, true: 0} {
		in := &intake{counts: &receiverCounts{}, answers: answers, log: quiet()}
		in.settle(sdk.Header{Count: 3}, 100, fmt.Errorf("%w: %w", spool.ErrClosed, errors.New("no space left on device")))
		if got := in.counts.dropped.snapshot()["spool-closed"].Records; got != want {
			t.Errorf("answers %v: %d counted, want %d", answers, got, want)
		}
	}
}
