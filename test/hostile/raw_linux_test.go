package hostile_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/test/hostile"
)

// TestHugeAnswer: a plugin that says more of itself than the transport carries is not started.
func TestHugeAnswer(t *testing.T) {
	s := newSite(t, pluginhost.Sandbox{})
	i, err := s.Start(t.Context(), sdk.KindReceiver, hostile.RawHuge, "test")
	if err == nil {
		_ = i.Stop(t.Context())
		t.Fatal("it is started")
	}
	t.Log(err)
	s.checkSteady(t)
}

// TestManyWords: what a plugin says of an error is cut before it reaches a log.
func TestManyWords(t *testing.T) {
	const most = 4 << 10 // bytes
	s := newSite(t, pluginhost.Sandbox{})
	i := s.start(t, hostile.RawWords)
	err := i.Plugin().Configure(t.Context(), sdk.Setup{Name: "hostile.test"})
	if err == nil || len(err.Error()) > most {
		t.Errorf("%.100v: %d bytes", err, len(fmt.Sprint(err)))
	}
	stop(t, i)
}

// TestUnreadAnswers: a plugin that sends batches and reads no answer is cut off before its answers fill the core's
// memory.
func TestUnreadAnswers(t *testing.T) {
	const most = 200_000 // batches; what fits the plugin's window are some thousand answers
	s := newSite(t, pluginhost.Sandbox{})
	in := &judge{most: most, verdict: &sdk.Error{Code: sdk.CodeDropped, Detail: "garbage"}}
	s.flood(t, hostile.RawUnread, in)
	if n := in.n.Load(); n >= most {
		t.Errorf("%d batches were answered, and the answers kept", n)
	}
}

// TestBeyondCredit: a plugin that sends more than its credit is cut off. Nothing is ever decided here.
func TestBeyondCredit(t *testing.T) {
	const credit = sdk.DefaultCredit / sdk.MaxBatchBytes // batches, of each of the two classes
	const most = 8 * credit
	s := newSite(t, pluginhost.Sandbox{})
	in := &judge{most: most, keep: true}
	s.flood(t, hostile.RawBeyond, in)
	if n := in.n.Load(); n > 2*credit {
		t.Errorf("%d batches of 1 MiB were taken, the credit is %d of each class", n, credit)
	}
}

// flood runs a plugin until the core has had enough, or the intake.
func (s *site) flood(t *testing.T, name string, in *judge) {
	t.Helper()
	i := s.start(t, name)
	r, ok := i.Plugin().(sdk.Receiver)
	if !ok {
		t.Fatalf("%T is no receiver", i.Plugin())
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	in.enough = cancel
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx, nil, in) }()
	err := await(t, "the end of the stream", ended)
	t.Logf("after %d batches: %v", in.n.Load(), err)
	s.checkSteady(t)
	stop(t, i)
}

// judge decides every batch alike, or none, and ends the run when it has seen enough.
type judge struct {
	most    int64
	verdict error
	keep    bool // decides nothing
	enough  func()
	once    sync.Once
	n       atomic.Int64
}

func (j *judge) Deliver(_ context.Context, _ sdk.Class, _ []byte, decided func(error)) error {
	if j.n.Add(1) >= j.most {
		j.once.Do(j.enough)
	}
	if !j.keep {
		decided(j.verdict)
	}
	return nil
}
