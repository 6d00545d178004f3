package sdk

import (
	"context"
	"sync"
)

// lifecycle refuses calls that come in the wrong order.
//
//	new ── Configure ──► configured ── Run ──► running ── Run has returned ──► configured
type lifecycle struct {
	mu         sync.Mutex // guards what follows
	configured bool
	lanes      *lanes        // of the Run in progress
	started    chan struct{} // closed when a Run starts, replaced when it has returned
}

func newLifecycle() *lifecycle { return &lifecycle{started: make(chan struct{})} }

// configure calls f unless that has already succeeded once.
func (l *lifecycle) configure(f func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.configured {
		return &Error{Code: CodeRefused, Detail: "configured twice: a new configuration needs a new process"}
	}
	if err := f(); err != nil {
		return err
	}
	l.configured = true
	return nil
}

// start makes ls the lanes of the Run in progress; there is only one at a time.
func (l *lifecycle) start(ls *lanes) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.configured {
		return &Error{Code: CodeNotConfigured, Detail: "run before configure"}
	}
	if l.lanes != nil {
		return &Error{Code: CodeRefused, Detail: "already running"}
	}
	l.lanes = ls
	close(l.started)
	return nil
}

func (l *lifecycle) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lanes = nil
	l.started = make(chan struct{})
}

// running returns the lanes of the Run in progress and waits for one to start. The streams of a Run come in any order.
func (l *lifecycle) running(ctx context.Context) (*lanes, error) {
	for {
		l.mu.Lock()
		ls, started := l.lanes, l.started
		l.mu.Unlock()
		if ls != nil {
			return ls, nil
		}
		select {
		case <-started:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
