package warden

import (
	"sync"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// board shows the last standing to whoever watches.
type board struct {
	mu       sync.Mutex // guards what follows
	last     guard.Standing
	shown    bool
	watchers map[chan struct{}]struct{}
}

func newBoard() *board { return &board{watchers: map[chan struct{}]struct{}{}} }

// show replaces the standing. The slices in s must not be changed afterwards.
func (b *board) show(s guard.Standing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.last, b.shown = s, true
	for w := range b.watchers {
		wake(w)
	}
}

func (b *board) standing() guard.Standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// watch returns a channel that yields after each new standing, and at once
// when there is one already. The caller calls done when it stops.
func (b *board) watch() (news <-chan struct{}, done func()) {
	w := make(chan struct{}, 1)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.watchers[w] = struct{}{}
	if b.shown {
		wake(w)
	}
	return w, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.watchers, w)
	}
}

func wake(w chan<- struct{}) {
	select {
	case w <- struct{}{}:
	default: // it has not looked since the last time
	}
}
