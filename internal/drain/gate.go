package drain

import (
	"context"
	"sync"
	"time"
)

// Gate joins one loop at a time (Begin) with requests to drain it (Drain). Make it with New.
type Gate struct {
	mu       sync.Mutex // guards what follows
	asked    chan struct{}
	closed   bool
	deadline time.Time
	cut      context.CancelFunc
	done     chan struct{} // of the loop in progress; nil without one
}

// New makes a gate that nobody has asked to drain.
func New() *Gate { return &Gate{asked: make(chan struct{})} }

// Begin marks the start of a loop. Its context ends with ctx, or when a drain's own context ends before the loop
// does. The loop must call end when it has finished.
func (g *Gate) Begin(ctx context.Context) (work context.Context, end func()) {
	work, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cut, g.done = cancel, done
	return work, sync.OnceFunc(func() {
		cancel()
		close(done)
	})
}

// Asked is closed by the first Drain.
func (g *Gate) Asked() <-chan struct{} { return g.asked }

// Deadline is when the drain that was asked for gives up; zero without a drain or when it has no deadline.
func (g *Gate) Deadline() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.deadline
}

// Drain asks the loop to finish and waits for it. When ctx ends first it cancels the loop's context and
// returns ctx's error. Without a loop it only leaves the request, for a loop that begins later.
func (g *Gate) Drain(ctx context.Context) error {
	cut, done := g.ask(ctx)
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	cut()
	return ctx.Err()
}

func (g *Gate) ask(ctx context.Context) (context.CancelFunc, chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.closed = true
		g.deadline, _ = ctx.Deadline()
		close(g.asked)
	}
	return g.cut, g.done
}
