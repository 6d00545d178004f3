package warden

import (
	"context"
	"sync"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// decider follows the machine's interfaces. It is a *guard.Guard that opens no
// sockets.
type decider interface {
	Run(ctx context.Context) error
	Accept(name string) (guard.Decision, error)
}

// deciding is a decider at work.
type deciding struct {
	decider
	inbox *inbox
	stop  context.CancelFunc
	done  chan struct{}
}

// inbox holds the newest decisions until the loop takes them.
type inbox struct {
	news chan struct{} // of capacity 1

	mu     sync.Mutex // guards newest
	newest []guard.Decision
	fresh  bool
}

func (b *inbox) put(d []guard.Decision) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newest, b.fresh = d, true
	wake(b.news)
}

// latest returns the newest decisions, whether they have been taken or not.
func (b *inbox) latest() []guard.Decision {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.newest
}

// startDeciding makes a decider and runs it until stopDeciding.
func (l *loop) startDeciding(ctx context.Context, p guard.Policy, tolerant bool) (*deciding, error) {
	box := &inbox{news: make(chan struct{}, 1)}
	d, err := l.decide(p, tolerant, box.put)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	out := &deciding{decider: d, inbox: box, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(out.done)
		if err := d.Run(ctx); err != nil {
			l.log.Error("guard: warden: interfaces are not followed any more", "error", err)
		}
	}()
	return out, nil
}

func (l *loop) stopDeciding() {
	l.deciding.halt()
	l.deciding = nil
}

// halt ends a decider and waits until it has ended; nil has.
func (d *deciding) halt() {
	if d == nil {
		return
	}
	d.stop()
	<-d.done
}

// news yields when there are new decisions; never on nil.
func (d *deciding) news() <-chan struct{} {
	if d == nil {
		return nil
	}
	return d.inbox.news
}

// take returns the newest decisions when they have not been taken yet.
func (d *deciding) take() ([]guard.Decision, bool) {
	if d == nil {
		return nil, false
	}
	d.inbox.mu.Lock()
	defer d.inbox.mu.Unlock()
	fresh := d.inbox.fresh
	d.inbox.fresh = false
	return d.inbox.newest, fresh
}
