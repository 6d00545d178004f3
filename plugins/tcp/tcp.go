package tcp

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/internal/drain"
	"github.com/sluice-gateway/sluice/internal/severity"
	"github.com/sluice-gateway/sluice/sdk"
)

// Receiver is the plugin. Make it with New.
type Receiver struct {
	gate     *drain.Gate
	counters counters

	mu     sync.Mutex // guards what Configure sets
	setup  sdk.Setup
	config config
	tls    *tls.Config
}

// New makes a receiver that is not configured.
func New() *Receiver { return &Receiver{gate: drain.New()} }

// Describe says what the plugin is.
func (r *Receiver) Describe(context.Context) (sdk.Info, error) {
	return sdk.Info{Kind: sdk.KindReceiver, Name: "tcp", Version: version, API: sdk.APIVersion, Schema: schema()}, nil
}

// Validate checks a body; it reads no files, which may be on another node.
func (r *Receiver) Validate(_ context.Context, raw json.RawMessage) (sdk.Traits, []sdk.Problem, error) {
	c, err := decode(raw)
	if err != nil {
		return sdk.Traits{}, nil, err
	}
	return c.traits(), c.problems(), nil
}

// Configure reads the certificates.
func (r *Receiver) Configure(_ context.Context, s sdk.Setup) error {
	c, err := decode(s.Config)
	if err != nil {
		return err
	}
	if ps := c.problems(); len(ps) > 0 {
		return &sdk.Error{Code: sdk.CodeConfig, Detail: ps[0].Text, Path: ps[0].Path}
	}
	var t *tls.Config
	if c.TLS != nil {
		if t, err = c.TLS.load(s); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.setup, r.config, r.tls = s, c, t
	return nil
}

// Drain stops accepting, closes the sending half of every connection, so that clients see it and turn elsewhere, and
// reads each to its end. Connections that are still open when ctx ends are cut, counted and logged.
func (r *Receiver) Drain(ctx context.Context) error { return r.gate.Drain(ctx) }

// Run serves connections.
func (r *Receiver) Run(ctx context.Context, network sdk.Network, out sdk.Intake) error {
	work, end := r.gate.Begin(ctx)
	defer end()
	s, err := r.service(out)
	if err != nil {
		return err
	}
	l, err := network.Listener(work)
	if err != nil {
		return err
	}
	err = s.run(work, l, r.gate)
	s.log.Info("stopped", "counters", r.Counters())
	return err
}

func (r *Receiver) service(out sdk.Intake) (*service, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	threshold, _ := severity.ParseThreshold(r.config.Critical) // Configure has checked it
	w, err := sdk.NewWriters(out, r.setup, !threshold.Never())
	if err != nil {
		return nil, err
	}
	log := r.setup.Log
	return &service{
		config: r.config, tls: r.tls, threshold: threshold, writers: w, log: log, notices: newNotices(log), counters: &r.counters,
		open: map[*connection]struct{}{},
	}, nil
}

// service is one Run.
type service struct {
	config    config
	tls       *tls.Config // nil for clear text
	threshold severity.Threshold
	writers   sdk.Writers
	log       *slog.Logger
	notices   *notices
	counters  *counters

	mu       sync.Mutex // guards what follows
	open     map[*connection]struct{}
	draining bool
}

// run owns all goroutines of the service: it returns when they have.
func (s *service) run(ctx context.Context, l net.Listener, g *drain.Gate) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var writing, accepting sync.WaitGroup
	for _, w := range s.writers.All() {
		writing.Go(func() { stop(w.Run(ctx)) })
	}
	accepting.Go(func() {
		if err := s.accept(ctx, l, &accepting); err != nil {
			stop(err)
		}
	})
	select {
	case <-g.Asked():
		_ = l.Close()
		s.drain(ctx, g.Deadline(), &accepting)
	case <-ctx.Done():
	}
	flushed := s.finish(ctx)
	stop(flushed)
	_ = l.Close()
	s.cut()
	accepting.Wait()
	writing.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// drain waits until all connections have ended. The last quarter of its time belongs to the records that were read: it
// cuts what is still open before.
func (s *service) drain(ctx context.Context, deadline time.Time, wg *sync.WaitGroup) {
	s.halfClose()
	patience, cancel := ctx, func() {}
	if !deadline.IsZero() {
		patience, cancel = context.WithTimeout(ctx, time.Until(deadline)*3/4)
	}
	defer cancel()
	waitOrDone(patience, wg)
	s.cut()
	waitOrDone(ctx, wg)
}

// finish has the core decide on everything that was read, as long as there is somebody to ask.
func (s *service) finish(ctx context.Context) error {
	if ctx.Err() != nil {
		return nil
	}
	if err := s.writers.Flush(ctx); err != nil && ctx.Err() == nil {
		return fmt.Errorf("drain: %w", err)
	}
	return nil
}

// accept serves each connection in a goroutine of wg. It returns nil when the listener was closed.
func (s *service) accept(ctx context.Context, l net.Listener, wg *sync.WaitGroup) error {
	for {
		raw, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		s.counters.connections.Add(1)
		c := newConnection(s, raw)
		draining := s.enter(c)
		wg.Go(func() {
			defer s.leave(c)
			if draining {
				c.halfClose()
			}
			c.serve(ctx)
		})
	}
}

// enter tells whether the connection has come too late to be half-closed with the others.
func (s *service) enter(c *connection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open[c] = struct{}{}
	return s.draining
}

func (s *service) leave(c *connection) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// connections lists what is open.
func (s *service) connections() []*connection {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draining = true
	return slices.Collect(maps.Keys(s.open))
}

// halfClose tells all peers at once: one that does not read makes the telling take a second.
func (s *service) halfClose() {
	var wg sync.WaitGroup
	for _, c := range s.connections() {
		wg.Go(c.halfClose)
	}
	wg.Wait()
}

func (s *service) cut() {
	for _, c := range s.connections() {
		c.cut()
	}
}

func waitOrDone(ctx context.Context, wg *sync.WaitGroup) {
	done := make(chan struct{})
	go func() { // ends with wg, for which the caller waits before it returns
		wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
