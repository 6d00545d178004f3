package guard

import (
	"context"
)

// lose marks the state of the interfaces as unknown: events may have been
// missed, so nothing is accepted until they have been read again.
func (g *Guard) lose() {
	g.ready.Store(nil)
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.unknown {
		g.unknown, g.known = true, make(chan struct{})
	}
}

// resume marks the state as known and lets those go on who wait for it.
func (g *Guard) resume() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.unknown {
		g.unknown = false
		close(g.known)
	}
}

// wait blocks while the state is unknown. It returns the error of ctx.
func (g *Guard) wait(ctx context.Context) error {
	g.mu.Lock()
	known := g.known
	g.mu.Unlock()
	select {
	case <-known:
		return ctx.Err()
	default:
	}
	select {
	case <-known:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
