package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/auditlog"
	"github.com/sluice-gateway/sluice/internal/reserve"
)

// Gateway is one running node.
type Gateway struct {
	opts     Options
	view     config.NodeView
	log      *slog.Logger
	guard    *guard.Guard
	console  *console.Server
	origins  map[string]*origin
	links    []*link
	groups   []*group // receiving ends; their links are among links
	room     *reserve.Reserve
	budget   *spool.Budget // nil: only each spool by itself is bounded
	sinks    []*sink
	receives []*receiver
	started  time.Time
	ready    atomic.Bool
	vitals   atomic.Pointer[[]byte] // what the next heartbeat says of this node

	audit  *auditlog.Log
	warden *warden.Client // nil: no interface of the node needs a fence
	leave  func() error   // ends the connection to the warden, which goes on

	measuring sync.Mutex // held while the disk is measured

	forceMu sync.Mutex // guards inForce
	inForce *inForce

	mu       sync.Mutex // guards warnings
	warnings []string
}

// New opens everything that can be opened without touching the network: spools, guard, keys, certificates. Nothing
// runs before Run. On an error everything is closed again.
func New(ctx context.Context, o Options) (*Gateway, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	g := &Gateway{
		opts: o, view: o.Plan.Config.For(o.Node), log: o.Log.With("node", o.Node), origins: map[string]*origin{}, started: time.Now(),
	}
	if g.view.Node == nil {
		_, err := o.Plan.Config.FindNode(o.Node)
		return nil, err
	}
	if err := g.open(ctx); err != nil {
		return nil, errors.Join(err, g.Close())
	}
	return g, nil
}

func (g *Gateway) open(ctx context.Context) error {
	if err := privateDir(g.opts.nodeDir()); err != nil {
		return fmt.Errorf("state directory %s: %w", g.opts.nodeDir(), err)
	}
	if err := g.openGuard(ctx); err != nil {
		return err
	}
	for _, step := range []func() error{g.openAudit, g.openRoom, g.openSendLinks, g.openReceivers, g.openReceiveLinks, g.openLeftovers, g.openSinks} {
		if err := step(); err != nil {
			return err
		}
	}
	var err error
	g.console, err = console.Listen(ctx, Socket(g.opts.StateDir, g.opts.Node), g.Status, g.control()...)
	return err
}

// Run runs the node until ctx ends, then stops it in order: receivers first, so that what they hold gets spooled, then
// links and sinks. Spools are closed by Close.
func (g *Gateway) Run(ctx context.Context) error {
	live, stopAll := context.WithCancel(context.WithoutCancel(ctx))
	var base, outlets, inlets sync.WaitGroup
	errs := make(chan error, 5+len(g.links)+len(g.groups)+len(g.sinks)+len(g.receives)) // one each
	run := func(wg *sync.WaitGroup, c context.Context, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(c); err != nil && c.Err() == nil {
				errs <- err
			}
		})
	}
	run(&base, live, g.guard.Run)
	run(&base, live, g.console.Run)
	run(&base, live, g.watchHealth)
	run(&base, live, g.watchAudit)
	outletCtx, stopOutlets := context.WithCancel(live)
	for _, l := range g.links {
		if l.start != nil {
			run(&outlets, outletCtx, l.run)
		}
	}
	for _, x := range g.groups {
		run(&outlets, outletCtx, x.run)
	}
	for _, s := range g.sinks {
		run(&outlets, outletCtx, func(c context.Context) error { return g.opts.Host.Supervise(c, s.component()) })
	}
	inletCtx, stopInlets := context.WithCancel(live)
	for _, r := range g.receives {
		run(&inlets, inletCtx, func(c context.Context) error { return g.runReceiver(c, r) })
	}
	run(&base, live, g.watchReady)
	var err error
	select {
	case <-ctx.Done():
	case err = <-errs:
	}
	g.log.Info("stopping")
	for _, stage := range []struct {
		stop context.CancelFunc
		wait *sync.WaitGroup
	}{{stopInlets, &inlets}, {stopOutlets, &outlets}, {stopAll, &base}} {
		stage.stop()
		stage.wait.Wait()
	}
	return err
}

// readyPoll is how often a starting node looks whether all its plugins run.
const readyPoll = 10 * time.Millisecond

// watchReady notes when every plugin has been running once.
func (g *Gateway) watchReady(ctx context.Context) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for !g.allRunning() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	g.ready.Store(true)
	g.log.Info("ready", "after", time.Since(g.started).Round(time.Millisecond).String())
	return nil
}

func (g *Gateway) allRunning() bool {
	for _, r := range g.receives {
		if s := r.plugin.Load(); s == nil || s.Status != running || len(r.relay.Stats().Sockets) == 0 {
			return false
		}
	}
	for _, s := range g.sinks {
		if st := s.plugin.Load(); st == nil || st.Status != running {
			return false
		}
	}
	return true
}

// Ready reports whether every plugin has been running once.
func (g *Gateway) Ready() bool { return g.ready.Load() }

// Close gives up what New opened. Run must have returned.
func (g *Gateway) Close() error {
	var errs []error
	for _, r := range g.receives {
		errs = append(errs, r.relay.Close())
	}
	for _, s := range g.sinks {
		errs = append(errs, s.relay.Close(), s.letters.Close())
	}
	for _, o := range g.origins {
		errs = append(errs, o.Close())
	}
	for _, x := range g.groups {
		errs = append(errs, x.books.close())
	}
	if g.room != nil {
		errs = append(errs, g.room.Close())
	}
	if g.console != nil {
		errs = append(errs, g.console.Close())
	}
	if g.leave != nil {
		errs = append(errs, g.leave())
	}
	if g.audit != nil {
		if g.inForce != nil {
			g.note(auditlog.Entry{What: auditlog.Stop})
		}
		errs = append(errs, g.audit.Close())
	}
	return errors.Join(errs...)
}

// origin opens an origin once.
func (g *Gateway) origin(name string, opts spool.Options) (*origin, error) {
	if o, ok := g.origins[name]; ok {
		return o, nil
	}
	o, err := openOrigin(g.spoolDir(), name, g.inRoom(opts), g.log)
	if err != nil {
		return nil, err
	}
	g.origins[name] = o
	return o, nil
}
