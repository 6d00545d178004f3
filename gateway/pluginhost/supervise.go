package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// Component is one plugin that is kept running.
type Component struct {
	Kind, Name string
	Label      string // "udp.kics-agents"; in logs, errors, State and what Sandbox.Exempt is asked
	// Grants are what the plugin may use of the host's files.
	Grants []Grant
	// Run uses an instance: it configures the plugin, runs it and relays its network. It must return soon after its
	// context ends. The context ends when the instance has died and when Supervise is told to end; in the second case
	// the instance lives until Run returns (or a minute has passed), so that Run can drain it with a deadline of its own.
	//
	// A plugin that answers health calls but no longer moves data is Run's to notice: returning an error starts the
	// component again.
	Run func(ctx context.Context, i *Instance) error
	// State is told every change, from one goroutine. It may be nil.
	State func(State)
}

// Supervise keeps a component running until ctx ends: it starts it, runs it, and starts it again after 1 s, 2 s … 1 min
// when it ends, misses three health calls or Run returns; a run of a minute starts over at 1 s. After ten failures in
// ten minutes the component is failed and is tried once every ten minutes until a try runs for a minute. It returns
// when the last instance is gone, with nil, or at once with an error when the component cannot be supervised.
func (h *Host) Supervise(ctx context.Context, c Component) error {
	if err := checkName(c.Kind, c.Name); err != nil {
		return err
	}
	if c.Run == nil || c.Label == "" {
		return errors.New("pluginhost: a component needs a label and a run function")
	}
	s := &supervisor{host: h, component: c, history: history{backoff: h.times.backoff}}
	for {
		began := time.Now()
		err := s.once(ctx)
		if ctx.Err() != nil {
			s.report(State{Status: StatusStopped})
			return nil
		}
		if errors.Is(err, ErrClosed) {
			return err
		}
		s.pause(ctx, err, began)
	}
}

type supervisor struct {
	host      *Host
	component Component
	history   history
	state     State
	starts    int
}

// report passes a change on. What does not change with it is kept.
func (s *supervisor) report(next State) {
	next.Restarts = max(0, s.starts-1)
	next.Since = time.Now()
	if next.Version == "" {
		next.Version, next.SHA256 = s.state.Version, s.state.SHA256
	}
	if next.LastError == "" {
		next.LastError = s.state.LastError
	}
	s.state = next
	if s.component.State != nil {
		s.component.State(next)
	}
}

// once is one life of the component: the error says why it ended.
func (s *supervisor) once(ctx context.Context) error {
	s.starts++
	s.report(State{Status: StatusStarting})
	i, err := s.host.Start(ctx, s.component.Kind, s.component.Name, s.component.Label, s.component.Grants...)
	if err != nil {
		return err
	}
	s.report(State{
		Status: StatusRunning, PID: i.PID(), Version: i.Version(), SHA256: i.SHA256(),
		Confinement: i.confinement(), Missing: i.missing(),
	})
	err = s.run(ctx, i)
	if serr := i.Stop(context.WithoutCancel(ctx)); serr != nil {
		s.host.cfg.Log.Error("plugin does not end", "component", s.component.Label, "error", serr)
	}
	return err
}

// run runs the component until it ends, the instance dies or ctx ends.
func (s *supervisor) run(ctx context.Context, i *Instance) error {
	ctx, cancel := context.WithCancelCause(ctx)
	over := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { s.watch(ctx, i, over, cancel) })
	err := s.component.Run(ctx, i)
	if sdk.CodeOf(err) == sdk.CodeGone {
		i.process.settle() // the stream breaks a moment before the end of the process is known
	}
	close(over)
	cancel(nil)
	wg.Wait()
	if death := i.Err(); death != nil {
		return death
	}
	if err == nil {
		return fmt.Errorf("%s: the plugin's run ended without being asked to", s.component.Label)
	}
	return err
}

// watch ends the run when the instance dies, and kills an instance that does not answer or outlives its time.
func (s *supervisor) watch(ctx context.Context, i *Instance, over <-chan struct{}, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(s.host.times.healthEvery)
	defer tick.Stop()
	misses := 0
	for {
		select {
		case <-over:
			return
		case <-i.Done():
			cancel(i.Err())
			return
		case <-ctx.Done():
			s.watchDrain(i, over)
			return
		case <-tick.C:
			misses = s.check(ctx, i, misses)
		}
	}
}

// check makes one health call and returns how many were missed in a row.
func (s *supervisor) check(ctx context.Context, i *Instance, misses int) int {
	t := s.host.times
	err := i.alive(ctx, t.healthDeadline)
	if err == nil || ctx.Err() != nil {
		return 0
	}
	misses++
	s.host.cfg.Log.Warn("plugin does not answer", "component", s.component.Label, "missed", misses, "error", err)
	if misses >= t.healthMisses {
		i.process.kill(fmt.Sprintf("it did not answer %d health calls", misses))
	}
	return misses
}

// watchDrain bounds how long Run may take once it was told to end: with the plugin dead every call to it returns.
func (s *supervisor) watchDrain(i *Instance, over <-chan struct{}) {
	patience := time.NewTimer(s.host.times.drain)
	defer patience.Stop()
	select {
	case <-over:
	case <-i.Done():
	case <-patience.C:
		i.process.kill("it did not drain in time")
	}
}

// pause waits for the next try.
func (s *supervisor) pause(ctx context.Context, err error, began time.Time) {
	now := time.Now()
	wait := s.history.fail(now, now.Sub(began))
	next := State{Status: StatusBackingOff, LastError: err.Error(), NextTry: now.Add(wait)}
	if s.history.failed {
		next.Status = StatusFailed
	}
	s.host.cfg.Log.Error("plugin ended", "component", s.component.Label, "error", err, "status", next.Status, "next_try_in", wait)
	s.report(next)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
