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
	log    *slog.Logger
	latest chan keep  // capacity 1: only the newest matters
	mu     sync.Mutex // guards the files and newest
	newest map[*floor.File]floor.Mark
}

type keep struct {
	file *floor.File
	mark floor.Mark
}

func newKeeper(log *slog.Logger) *keeper {
	return &keeper{log: log, latest: make(chan keep, 1), newest: make(map[*floor.File]floor.Mark)}
}

// later hands a mark to the goroutine and does not wait.
func (k *keeper) later(file *floor.File, mark floor.Mark) {
	select {
	case <-k.latest:
	default:
	}
	select {
	case k.latest <- keep{file: file, mark: mark}:
	default:
	}
}

// run writes what later handed over until ctx ends, and the last of it then.
func (k *keeper) run(ctx context.Context) {
	for {
		select {
		case x := <-k.latest:
			k.storeLogged(x)
		case <-ctx.Done():
			select {
			case x := <-k.latest:
				k.storeLogged(x)
			default:
			}
			return
		}
	}
}

func (k *keeper) storeLogged(x keep) {
	if err := k.store(x.file, x.mark); err != nil {
		k.log.Warn("floor not stored; after a restart frames of the last seconds could be replayed", "err", err)
	}
}

// store writes the mark unless a newer one is there.
func (k *keeper) store(file *floor.File, mark floor.Mark) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	old, ok := k.newest[file]
	if ok && (old.Session > mark.Session || (old.Session == mark.Session && old.Counter >= mark.Counter)) {
		return nil
	}
	if err := file.Store(mark); err != nil {
		return err
	}
	k.newest[file] = mark
	return nil
}
