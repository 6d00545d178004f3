package sdk

import "sync"

// lifecycle refuses calls that come in the wrong order.
type lifecycle struct {
	mu    sync.Mutex // guards both
	ready bool
	lanes *lanes // of the Run in progress
}

func newLifecycle() *lifecycle { return &lifecycle{} }

func (l *lifecycle) configured() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = true
}

func (l *lifecycle) check() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ready {
		return &Error{Code: CodeNotConfigured, Detail: "run before configure"}
	}
	return nil
}

// start makes ls the lanes of the Run in progress; there is only one at a time.
func (l *lifecycle) start(ls *lanes) error {
	if err := l.check(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lanes != nil {
		return &Error{Code: CodeRefused, Detail: "already running"}
	}
	l.lanes = ls
	return nil
}

func (l *lifecycle) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lanes = nil
}

func (l *lifecycle) running() *lanes {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lanes
}
