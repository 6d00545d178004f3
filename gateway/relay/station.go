package relay

import (
	"context"
	"sync"

	"github.com/sluice-gateway/sluice/sdk/control"
)

// station is where sockets wait for a plugin that takes what they have. The newest plugin that asked is the one.
type station struct {
	mu      sync.Mutex // guards what follows
	now     *session   // nil = nobody
	ctx     context.Context
	cancel  context.CancelFunc
	changed chan struct{}
}

func (t *station) init() { t.changed = make(chan struct{}) }

// set makes s the one.
func (t *station) set(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == s {
		return
	}
	if t.now != nil {
		t.cancel()
	}
	t.now = s
	t.ctx, t.cancel = context.WithCancel(s.ctx)
	t.announce()
}

// leave removes the session of a control socket if it is there.
func (t *station) leave(ctl *control.Socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.now == nil || t.now.control != ctl {
		return
	}
	t.cancel()
	t.now = nil
	t.announce()
}

func (t *station) announce() {
	close(t.changed)
	t.changed = make(chan struct{})
}

// wait blocks until there is a session. The context that it returns ends when that is no longer the one.
func (t *station) wait(ctx context.Context) (*session, context.Context, error) {
	for {
		t.mu.Lock()
		s, held, changed := t.now, t.ctx, t.changed
		t.mu.Unlock()
		if s != nil {
			return s, held, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
	}
}
