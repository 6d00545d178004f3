package guard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Ours, unless a source is named.
const (
	// resyncEvery is how often everything is listed again although no event
	// came. From the design: events are not the truth.
	resyncEvery = 30 * time.Second
	// retryEvery replaces it while a socket that should be open is not, for
	// example because another program holds the port.
	retryEvery = time.Second
	// backoffFirst and backoffMost bound the pause between two attempts to
	// subscribe or to list.
	backoffFirst = 100 * time.Millisecond
	backoffMost  = 5 * time.Second
	// overrunPause keeps a flood of events from turning into a busy loop.
	overrunPause = 5 * time.Millisecond
)

// errEventsLost says that the event channel was closed.
var errEventsLost = errors.New("guard: interface events were lost")

// Run follows the machine's interfaces until ctx ends, then returns nil. It
// leaves open what is open: Close the Listeners. Only one Run may be active.
func (g *Guard) Run(ctx context.Context) error {
	if !g.running.CompareAndSwap(false, true) {
		return errors.New("guard: Run is already active")
	}
	defer g.running.Store(false)
	var others sync.WaitGroup
	defer others.Wait()
	others.Go(func() { g.minder(ctx) })
	others.Go(func() { g.lookout(ctx) })
	pause := backoffFirst
	for ctx.Err() == nil {
		synced, err := g.follow(ctx)
		if ctx.Err() != nil {
			return nil
		}
		g.lose()
		g.log.Warn("guard: state of the interfaces is unknown, nothing is accepted", "error", err)
		if synced {
			pause = backoffFirst
			sleep(ctx, overrunPause) // the usual case is an overrun: subscribe again at once
			continue
		}
		g.shut()
		sleep(ctx, pause)
		pause = min(2*pause, backoffMost)
	}
	return nil
}

// follow subscribes first, then lists, so that no change falls between. It
// returns whether it got as far as acting on a list.
func (g *Guard) follow(ctx context.Context) (synced bool, err error) {
	inner, stop := context.WithCancel(ctx)
	dirty, err := g.kernel.Subscribe(inner)
	if err != nil {
		stop()
		return false, err
	}
	defer drain(dirty)
	defer stop()
	for {
		if err := g.resync(); err != nil {
			return synced, err
		}
		synced = true
		if err := g.changed(ctx, dirty); err != nil {
			return synced, err
		}
	}
}

// changed returns nil when it is time to list again.
func (g *Guard) changed(ctx context.Context, dirty <-chan struct{}) error {
	timer := time.NewTimer(g.nextResync())
	defer timer.Stop()
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("guard: %w", context.Cause(ctx))
		case _, ok := <-dirty:
			if !ok {
				return errEventsLost
			}
			return nil
		case <-timer.C:
			return nil
		case <-tick.C:
			g.lookAfterEnds()
		case <-g.kick:
			timer.Reset(g.nextResync())
		}
	}
}

// lookAfterEnds repairs between two lists what gave no event.
func (g *Guard) lookAfterEnds() {
	g.apply.Lock()
	defer g.apply.Unlock()
	if verdicts, err := g.current(); err == nil {
		g.tend(verdicts, stance{whole: true})
	}
}

func (g *Guard) resync() error {
	links, err := g.kernel.Links()
	if err != nil {
		return err
	}
	g.decide(links)
	g.live.sweep()
	return nil
}

func (g *Guard) nextResync() time.Duration {
	g.apply.Lock()
	defer g.apply.Unlock()
	for l := range g.listeners {
		if l.wanting() {
			return retryEvery
		}
	}
	return resyncEvery
}

// drain waits for the reader behind the channel to end.
func drain(dirty <-chan struct{}) {
	for range dirty {
		continue
	}
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// lookSooner makes Run think anew about when to list again.
func (g *Guard) lookSooner() {
	select {
	case g.kick <- struct{}{}:
	default: // already asked
	}
}
