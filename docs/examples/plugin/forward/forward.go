package forward

import (
	"context"
	"encoding/json"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// Plugin is the sink. It is made by New and serves one Run.
type Plugin struct {
	setup    sdk.Setup
	config   config
	begin    sync.Once
	draining chan struct{} // closed by Drain: take nothing new
	done     chan struct{} // closed when Run has returned
}

type config struct {
	Retry time.Duration `json:"retry"` // TypeDuration arrives in nanoseconds
}

// defaultRetry is the default of the attribute and what an empty body means.
const defaultRetry = time.Second

// New makes the sink.
func New() *Plugin {
	return &Plugin{draining: make(chan struct{}), done: make(chan struct{})}
}

// Describe says what the plugin is and which attributes `config {}` has.
func (*Plugin) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{
		Kind: sdk.KindSink, Name: "forward", Version: "1.0.0", API: sdk.APIVersion,
		Schema: sdk.Schema{
			Doc: "Writes each record as a line to the TCP target in the block's `connect`.",
			Attributes: []sdk.Attribute{{
				Name: "retry", Type: sdk.TypeDuration, Default: "1s",
				Doc: "Pause before a target that does not answer is tried again.",
			}},
		},
	}, nil
}

// Validate has no effect: it reads the body and says what an operator got wrong.
func (*Plugin) Validate(_ context.Context, body json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	traits := sdk.Traits{Protocol: "lines", Encryption: "none", Kind: "any", Delivery: "sent"}
	c, err := read(body)
	if err != nil {
		return traits, []sdk.Problem{{Text: err.Error()}}, nil
	}
	if c.Retry < 0 {
		return traits, []sdk.Problem{{Path: []string{"retry"}, Text: "it is negative", Advice: `write for example "1s"`}}, nil
	}
	return traits, nil, nil
}

func read(body json.RawMessage) (config, error) {
	c := config{Retry: defaultRetry}
	err := sdk.Unmarshal(body, &c)
	return c, err
}

// Configure keeps the setup; it opens nothing.
func (p *Plugin) Configure(_ context.Context, s sdk.Setup) error {
	c, err := read(s.Config)
	if err != nil {
		return err
	}
	if len(s.Connect) != 1 {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: "exactly one target in connect is needed"}
	}
	p.setup, p.config = s, c
	return nil
}

// Drain asks Run to finish the delivery that it has and waits for it until ctx ends. What is not acknowledged by then
// stays in the spool.
func (p *Plugin) Drain(ctx context.Context) error {
	p.begin.Do(func() { close(p.draining) })
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	return nil
}
