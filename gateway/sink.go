package gateway

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"sync"
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
	runs    func(component, version, sha256 string) // a program was started

	counts  sinkCounts
	plugin  atomic.Pointer[pluginhost.State]
	holding atomic.Pointer[string] // the plugin's word
	stuck   atomic.Pointer[string] // the dead-letter log's
	buffers sync.Pool              // of *[]byte, what acknowledged deliveries gave back
}

// sinkCounts are the counters of a sink since the core started.
type sinkCounts struct {
	batches, records, bytes atomic.Uint64 // acknowledged by the sink
	last                    atomic.Int64  // Unix nanoseconds of the last acknowledgement
	dropped                 dropCounts
}

func (s *sink) component() pluginhost.Component {
	return pluginhost.Component{
		Kind: sdk.KindSink, Name: s.conf.Plugin, Label: s.label, Run: s.run, Grants: s.setup.grants,
		State: func(st pluginhost.State) {
			s.plugin.Store(&st)
			s.runs(s.label, st.Version, st.SHA256)
		},
	}
}

// run is one start of the plugin: it begins behind the last acknowledgement. When ctx ends nothing more is delivered
// and the sink may finish what it has. Nothing of this start is left when it returns: the next one has the cursors for
// itself.
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
	served := start(func() error {
		_, err := s.relay.Serve(live, i.Control())
		if err != nil && live.Err() == nil {
			s.log.Warn("control socket broke", "error", err)
		}
		return err
	})
	fed := start(func() error { return f.run(live) })
	ran := start(func() error { return p.Run(live, nil, f) })
	err := s.await(ctx, p, ran, fed)
	stop()
	_, _, _ = ran.wait(), fed.wait(), served.wait() // told above
	s.holding.Store(nil)
	s.stuck.Store(nil)
	return err
}

func (s *sink) await(ctx context.Context, p sdk.Plugin, ran, fed *call) error {
	select {
	case <-ran.done:
		return cmp.Or(ran.err, errEndedByItself)
	case <-fed.done:
		return fmt.Errorf("spool: %w", fed.err) // not nil: live has not ended
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
	f.reject, f.stuck = s.letters.write, s.dead
	f.hold, f.buffers = s.hold, &s.buffers
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

// dead shows that rejected records cannot be put away and hold up what is behind them; nil says that they can again.
func (s *sink) dead(err error) {
	if err == nil {
		s.stuck.Store(nil)
		return
	}
	reason := err.Error()
	if old := s.stuck.Swap(&reason); old == nil || *old != reason {
		s.log.Error("rejected records wait for the dead-letter log; nothing is lost", "error", err)
	}
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
	for _, reason := range []*string{s.holding.Load(), s.stuck.Load()} {
		if reason != nil {
			st.Holding = *reason
		}
	}
	if n := s.counts.last.Load(); n > 0 {
		t := time.Unix(0, n).UTC()
		st.Last = &t
	}
	return st
}
