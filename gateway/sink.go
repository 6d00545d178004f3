package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/gateway/relay"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/sdk"
)

// sink is one sink of this node.
type sink struct {
	conf    *config.Sink
	label   string
	part    part
	takes   []string // labels of receivers
	cursors []*spool.Cursor
	relay   *relay.Relay
	letters *deadLetters
	setup   setupBase
	log     *slog.Logger

	counts  sinkCounts
	plugin  atomic.Pointer[pluginhost.State]
	holding atomic.Pointer[string]
}

// sinkCounts are the counters of a sink since the core started.
type sinkCounts struct {
	batches, records, bytes atomic.Uint64 // acknowledged by the sink
	last                    atomic.Int64  // Unix nanoseconds of the last acknowledgement
	dropped                 dropCounts
}

func (s *sink) component() pluginhost.Component {
	return pluginhost.Component{
		Kind: sdk.KindSink, Name: s.conf.Plugin, Label: s.label, Run: s.run,
		State: func(st pluginhost.State) { s.plugin.Store(&st) },
	}
}

// run is one start of the plugin: it begins behind the last acknowledgement. When ctx ends nothing more is delivered
// and the sink may finish what it has.
func (s *sink) run(ctx context.Context, i *pluginhost.Instance) error {
	p, ok := i.Plugin().(sdk.Sink)
	if !ok {
		return fmt.Errorf("plugin %q is no sink", s.conf.Plugin)
	}
	if err := p.Configure(ctx, s.setupFor()); err != nil {
		return fmt.Errorf("configure: %w", err)
	}
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	f := s.feed(ctx)
	ended := make(chan error, 2)
	go func() { // ends with the control socket, which ends with the plugin
		if _, err := s.relay.Serve(live, i.Control()); err != nil && live.Err() == nil {
			s.log.Warn("control socket broke", "error", err)
		}
	}()
	fed := make(chan error, 1)
	go func() { fed <- f.run(live) }()
	go func() { ended <- p.Run(live, nil, f) }()
	err := s.await(ctx, p, ended, fed)
	stop()
	return err
}

func (s *sink) await(ctx context.Context, p sdk.Plugin, ran, fed <-chan error) error {
	select {
	case err := <-ran:
		if err == nil {
			err = errors.New("the plugin ended by itself")
		}
		return err
	case err := <-fed:
		return fmt.Errorf("spool: %w", err)
	case <-ctx.Done():
		return drain(ctx, p, ran)
	}
}

func (s *sink) feed(ctx context.Context) *feed {
	takes := map[string]bool{}
	for _, r := range s.takes {
		takes[r] = true
	}
	f := newFeed(s.cursors, takes, &s.counts)
	f.quit = ctx.Done()
	f.reject = s.letters.write
	f.hold = s.hold
	s.holding.Store(nil)
	return f
}

func (s *sink) hold(reason string) {
	if reason == "" {
		s.holding.Store(nil)
		s.log.Info("sink takes data again")
		return
	}
	s.holding.Store(&reason)
	s.log.Warn("sink holds; nothing is lost", "reason", reason)
}

func (s *sink) setupFor() sdk.Setup {
	return sdk.Setup{
		Name: s.label, Config: s.setup.body, StateDir: s.setup.stateDir, RootDir: s.setup.rootDir, Compression: "none",
		Certificates: s.setup.certificates, Connect: addresses(s.conf.Connect),
	}
}

func (s *sink) status() console.Sink {
	st := console.Sink{
		Name: s.label, Delivery: s.part.traits.Delivery, Takes: s.takes, Plugin: pluginStatus(s.plugin.Load()),
		Batches: s.counts.batches.Load(), Records: s.counts.records.Load(), Bytes: s.counts.bytes.Load(),
		Dropped: s.counts.dropped.snapshot(), Refused: s.relay.Stats().Refused,
	}
	if h := s.holding.Load(); h != nil {
		st.Holding = *h
	}
	if n := s.counts.last.Load(); n > 0 {
		t := time.Unix(0, n).UTC()
		st.Last = &t
	}
	return st
}
