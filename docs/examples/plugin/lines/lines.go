package lines

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/sluice-gateway/sluice/sdk"
)

// Plugin is the receiver. It is made by New and serves one Run.
type Plugin struct {
	setup    sdk.Setup
	config   config
	begin    sync.Once
	draining chan struct{} // closed by Drain: take in nothing new
	cut      chan struct{} // closed when Drain's time is over
	done     chan struct{} // closed when Run has returned
}

type config struct {
	Greeting string `json:"greeting"`
}

// New makes the receiver.
func New() *Plugin {
	return &Plugin{draining: make(chan struct{}), cut: make(chan struct{}), done: make(chan struct{})}
}

// Describe says what the plugin is and which attributes `config {}` has.
func (*Plugin) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{
		Kind: sdk.KindReceiver, Name: "lines", Version: "1.0.0", API: sdk.APIVersion,
		Schema: sdk.Schema{
			Doc: "Takes lines of text over TCP and answers each with \"ok\" once it is durable.",
			Attributes: []sdk.Attribute{{
				Name: "greeting", Type: sdk.TypeString, Default: "hello",
				Doc: "What a client is sent when it has connected.",
			}},
		},
	}, nil
}

// Validate has no effect: it reads the body and says what an operator got wrong.
func (*Plugin) Validate(_ context.Context, body json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	traits := sdk.Traits{Protocol: "lines", Network: "tcp", Kind: "opaque", Encryption: "none", Answers: true}
	var c config
	if err := sdk.Unmarshal(body, &c); err != nil {
		return traits, []sdk.Problem{{Text: err.Error()}}, nil
	}
	if bytes.ContainsAny([]byte(c.Greeting), "\r\n") {
		return traits, []sdk.Problem{{
			Path: []string{"greeting"}, Text: "it holds a line break", Advice: "write one line",
		}}, nil
	}
	return traits, nil, nil
}

// Configure keeps the setup; it opens nothing.
func (p *Plugin) Configure(_ context.Context, s sdk.Setup) error {
	p.setup = s
	return sdk.Unmarshal(s.Config, &p.config)
}

// Drain asks Run to finish and waits for it; when ctx ends first, Run is cut short.
func (p *Plugin) Drain(ctx context.Context) error {
	p.begin.Do(func() {
		close(p.draining)
		select {
		case <-p.done:
		case <-ctx.Done():
			close(p.cut)
		}
	})
	return nil
}
