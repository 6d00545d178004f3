package recv

import (
	"context"
	"log/slog"
	"sync"

	"github.com/sluice-gateway/sluice/diode/floor"
)

// keeper writes floors. The window's top goes to disk every second from a
// goroutine of its own, because a slow disk must not delay frames; a newly
// accepted session is written before it is used.
type keeper struct {
	log  *slog.Logger
	wake chan struct{} // capacity 1: something is pending

	waits   sync.Mutex // guards pending
	pending map[*floor.File]floor.Mark

	mu     sync.Mutex // guards the files and newest
	newest map[*floor.File]floor.Mark
}

func newKeeper(log *slog.Logger) *keeper {
	return &keeper{
		log: log, wake: make(chan struct{}, 1),
		pending: make(map[*floor.File]floor.Mark), newest: make(map[*floor.File]floor.Mark),
	}
}

// later hands a counter of the session that was stored last to the goroutine
// and does not wait.
func (k *keeper) later(file *floor.File, mark floor.Mark) {
	k.waits.Lock()
	k.pending[file] = mark
	k.waits.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// run writes what later handed over until ctx ends, and the last of it then.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case <-k.wake:
			k.flush()
		case <-ctx.Done():
			k.flush()
			return
		}
	}
}

func (k *keeper) flush() {
	k.waits.Lock()
	pending := k.pending
	k.pending = make(map[*floor.File]floor.Mark)
	k.waits.Unlock()
	for file, mark := range pending {
		if err := k.advance(file, mark); err != nil {
			k.log.Warn("floor not stored; after a restart frames of the last seconds could be replayed", "err", err)
		}
	}
}

// advance writes a counter of the session that was stored last. That the
// session is another one meanwhile makes it worthless.
func (k *keeper) advance(file *floor.File, mark floor.Mark) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old := k.newest[file]
	if old.Session != mark.Session || old.Counter >= mark.Counter {
		return nil
	}
	return k.write(file, mark)
}

// store writes the mark, which may be below the one there when an operator
// said so.
func (k *keeper) store(file *floor.File, mark floor.Mark) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.write(file, mark)
}

func (k *keeper) write(file *floor.File, mark floor.Mark) error {
	if err := file.Store(mark); err != nil {
		return err
	}
	k.newest[file] = mark
	return nil
}
