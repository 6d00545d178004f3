package gateway

import (
	"log/slog"
	"sync"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/send"
)

// unsent remembers which resends were asked for and may not have left: a session that ends with its socket, because the
// interface went away, takes its queue with it. What had left already goes out twice then; the far side knows it.
type unsent struct {
	mu     sync.Mutex // guards ranges
	ranges map[diode.Class][]diode.Range
}

// resender is the session that sends.
type resender interface {
	Resend(class diode.Class, ranges []diode.Range) (send.ResendState, error)
	Stats() send.Stats
}

// queue hands ranges to a session.
func (u *unsent) queue(s resender, class diode.Class, ranges []diode.Range) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgetSent(s)
	if _, err := s.Resend(class, ranges); err != nil {
		return err
	}
	if u.ranges == nil {
		u.ranges = map[diode.Class][]diode.Range{}
	}
	u.ranges[class] = diode.Merge(append(u.ranges[class], ranges...))
	return nil
}

// ended notes that a session is over.
func (u *unsent) ended(s resender) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.forgetSent(s)
}

func (u *unsent) forgetSent(s resender) {
	if s.Stats().Resend.Queued == 0 {
		u.ranges = nil
	}
}

// again hands a new session what the one before may have left.
func (u *unsent) again(s resender, logs map[diode.Class]bounded, log *slog.Logger) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for class, ranges := range u.ranges {
		first, next, _ := logs[class].Bounds()
		var kept []diode.Range
		for _, r := range ranges {
			if r.First, r.Last = max(r.First, first), min(r.Last, next-1); r.First <= r.Last {
				kept = append(kept, r)
			}
		}
		u.ranges[class] = kept
		if _, err := s.Resend(class, kept); err != nil {
			log.Error("resend is given up with the session that it was asked of: ask again", "class", class, "error", err)
			delete(u.ranges, class)
			continue
		}
		log.Info("resend goes on in a new session", "class", class, "ranges", rangesText(kept))
	}
}

// bounded is a log that says what it keeps.
type bounded interface {
	Bounds() (first, next, sum uint64)
}
