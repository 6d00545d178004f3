package sinkkics

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"sync"

	"golang.org/x/time/rate"

	"github.com/sluice-gateway/sluice/internal/drain"
	"github.com/sluice-gateway/sluice/sdk"
)

// Sink is the plugin. Make it with New.
type Sink struct {
	gate *drain.Gate

	mu     sync.Mutex // guards what Configure sets
	setup  sdk.Setup
	config config
	target string
}

// New makes a sink that is not configured.
func New() *Sink { return &Sink{gate: drain.New()} }

// Describe says what the plugin is.
func (s *Sink) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindSink, Name: "kics", Version: version, API: sdk.APIVersion, Schema: schema()}, nil
}

// Validate checks a body.
func (s *Sink) Validate(_ context.Context, raw json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	c, err := decode(raw)
	if err != nil {
		return sdk.Traits{}, nil, err
	}
	return traits(), c.problems(), nil
}

// Configure takes the body and the block's one target.
func (s *Sink) Configure(_ context.Context, setup sdk.Setup) error {
	c, err := decode(setup.Config)
	if err != nil {
		return err
	}
	if ps := c.problems(); len(ps) > 0 {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: ps[0].Text, Path: ps[0].Path}
	}
	t, err := target(setup)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setup, s.config, s.target = setup, c, t
	return nil
}

// Drain sends and confirms what has been taken over and ends Run. What is not confirmed when ctx ends is delivered
// again at the next start.
func (s *Sink) Drain(ctx context.Context) error { return s.gate.Drain(ctx) }

// Run sends datagrams until there are no more.
func (s *Sink) Run(ctx context.Context, network sdk.Network, in sdk.Outlet) error {
	work, end := s.gate.Begin(ctx)
	defer end()
	e := s.emitter(network, in)
	feeding, stop := context.WithCancel(work)
	queue := make(chan sdk.Delivery)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() {
		select {
		case <-s.gate.Asked():
			stop()
		case <-feeding.Done():
		}
	})
	var fed error
	wg.Go(func() {
		defer close(queue)
		fed = feed(feeding, in, queue)
	})
	if err := e.run(work, queue); err != nil || work.Err() != nil {
		return err
	}
	return fed // the queue has been closed
}

func (s *Sink) emitter(network sdk.Network, in sdk.Outlet) *emitter {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, target := s.config, s.target
	return &emitter{
		target: target, out: in, log: s.setup.Log, settle: c.Settle,
		dial:   func(ctx context.Context) (sdk.PacketSender, error) { return network.DialPacket(ctx, target) },
		bucket: rate.NewLimiter(rate.Limit(c.Rate), c.Burst),
		chunk:  max(1, min(c.Burst, int(c.Rate*tick.Seconds()))),
	}
}

// feed takes deliveries until the core has no more or ctx ends; both are no error.
func feed(ctx context.Context, in sdk.Outlet, queue chan<- sdk.Delivery) error {
	for {
		d, err := in.Next(ctx)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case queue <- d:
		case <-ctx.Done():
			return nil
		}
	}
}
