package sinkfile

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/internal/drain"
	"github.com/sluice-gateway/sluice/sdk"
)

const (
	retryEvery = time.Second // after an error of the disk (ours)
	queueDepth = 4           // deliveries of at most 1 MiB that wait for the group before them
)

// Sink is the plugin. Make it with New.
type Sink struct {
	gate *drain.Gate

	mu     sync.Mutex // guards what Configure sets
	setup  sdk.Setup
	config config
}

// New makes a sink that is not configured.
func New() *Sink { return &Sink{gate: drain.New()} }

// Describe says what the plugin is.
func (s *Sink) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindSink, Name: "file", Version: version, API: sdk.APIVersion, Schema: schema()}, nil
}

// Validate checks a body; it touches no file.
func (s *Sink) Validate(_ context.Context, raw json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	c, err := decode(raw)
	if err != nil {
		return sdk.Traits{}, nil, err
	}
	return traits(), c.problems(), nil
}

// Configure takes the body.
func (s *Sink) Configure(_ context.Context, setup sdk.Setup) error {
	c, err := decode(setup.Config)
	if err != nil {
		return err
	}
	if ps := c.problems(); len(ps) > 0 {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: ps[0].Text, Path: ps[0].Path}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setup, s.config = setup, c
	return nil
}

// Drain writes what has been taken over and ends Run.
func (s *Sink) Drain(ctx context.Context) error { return s.gate.Drain(ctx) }

// Run writes deliveries until there are no more.
func (s *Sink) Run(ctx context.Context, _ sdk.Network, in sdk.Outlet) error {
	work, end := s.gate.Begin(ctx)
	defer end()
	w := &writing{store: s.store(), in: in}
	w.log = w.store.log
	defer w.store.close()
	feeding, stop := context.WithCancel(work)
	defer stop()
	queue := make(chan sdk.Delivery, queueDepth)
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
	if err := w.run(work, queue); err != nil || work.Err() != nil {
		return err
	}
	return fed // the queue has been closed
}

func (s *Sink) store() *store {
	s.mu.Lock()
	defer s.mu.Unlock()
	mode, _ := s.config.mode() // checked by Configure
	return &store{
		names: newNames(s.setup.Path(s.config.Path)), rotateSize: s.config.RotateSize, keep: s.config.Keep,
		maxSize: s.config.MaxSize, mode: mode, log: s.setup.Log, open: openLocked,
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

// writing is one Run.
type writing struct {
	store *store
	in    sdk.Outlet
	log   *slog.Logger
	held  string
}

// run returns nil when the queue is closed, or when ctx ends: what is not acknowledged then is delivered again.
func (w *writing) run(ctx context.Context, queue <-chan sdk.Delivery) error {
	g := &group{}
	if err := w.insist(ctx, func() (err error) {
		g.known, err = w.store.recover(time.Now())
		return err
	}); err != nil {
		return ended(ctx, err)
	}
	for d := range queue {
		g.reset()
		g.add(d, time.Now())
		gather(g, queue)
		if err := w.commit(ctx, g); err != nil {
			return ended(ctx, err)
		}
	}
	return nil
}

// gather adds what has come meanwhile.
func gather(g *group, queue <-chan sdk.Delivery) {
	for !g.full() {
		select {
		case d, ok := <-queue:
			if !ok {
				return
			}
			g.add(d, time.Now())
		default:
			return
		}
	}
}

func (w *writing) commit(ctx context.Context, g *group) error {
	if g.repeated > 0 {
		w.log.Info("records delivered again, which the file has", "records", g.repeated)
	}
	if len(g.lines) > 0 {
		if err := w.insist(ctx, func() error { return w.store.append(g.lines, time.Now()) }); err != nil {
			return err
		}
	}
	return w.in.Ack(ctx, g.through, g.rejected...)
}

// insist tries until it works, and says meanwhile that the sink holds.
func (w *writing) insist(ctx context.Context, try func() error) error {
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-retry.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		reason := ""
		err := try()
		if err != nil {
			reason = err.Error()
		}
		if herr := w.hold(ctx, reason); err == nil || herr != nil {
			return herr
		}
		retry.Reset(retryEvery)
	}
}

// hold tells the core when the reason changes.
func (w *writing) hold(ctx context.Context, reason string) error {
	if reason == w.held {
		return nil
	}
	w.held = reason
	if reason == "" {
		w.log.Info("writing again")
	} else {
		w.log.Warn("holding", "reason", reason, "retry_seconds", retryEvery.Seconds())
	}
	return w.in.Hold(ctx, reason)
}

// ended makes the end of ctx no error.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}
