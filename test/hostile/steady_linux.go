package hostile

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// Steady is a well-behaved receiver: it makes a record every few milliseconds, so that whoever disturbs it shows.
type Steady struct {
	setup   sdk.Setup
	begin   sync.Once
	drained chan struct{}
}

// SteadyName is the name under which it must be installed.
const SteadyName = "steady"

// steadyEvery is the time between its records (ours: often enough to notice, seldom enough to cost nothing).
const steadyEvery = 20 * time.Millisecond

// NewSteady makes one.
func NewSteady() *Steady { return &Steady{drained: make(chan struct{})} }

// Describe names the plugin.
func (s *Steady) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindReceiver, Name: SteadyName, Version: "1.0.0", API: sdk.APIVersion}, nil
}

// Validate likes everything.
func (s *Steady) Validate(context.Context, json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	return sdk.Traits{Protocol: "steady", Kind: "any", Encryption: "none"}, nil, nil
}

// Configure keeps the setup.
func (s *Steady) Configure(_ context.Context, setup sdk.Setup) error {
	s.setup = setup
	return nil
}

// Drain ends Run.
func (s *Steady) Drain(context.Context) error {
	s.begin.Do(func() { close(s.drained) })
	return nil
}

// Run makes records until it is told to end.
func (s *Steady) Run(ctx context.Context, _ sdk.Network, out sdk.Intake) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	w, err := sdk.NewWriter(out, s.setup, sdk.WriterOptions{Linger: -1})
	if err != nil {
		return err
	}
	wg.Go(func() { _ = w.Run(ctx) })
	tick := time.NewTicker(steadyEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case <-s.drained:
			return nil
		}
		r := sdk.Record{Kind: sdk.KindOpaque, Received: time.Now(), Payload: fmt.Append(nil, n)}
		if _, err := w.Write(ctx, sdk.Connection{}, []sdk.Record{r}); err != nil {
			return err
		}
	}
}
