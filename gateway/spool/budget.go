package spool

import (
	"slices"
	"sync"
	"time"
)

// Budget bounds the segment files of several logs together. A log that needs room
// gives up what it has sent and keeps, then what the others have sent and keep,
// the oldest first; then its own policy applies. A quarter of the budget is
// shared out evenly: up to its share no log is kept waiting by what others have
// not sent. What a log stores is never taken by another before it is sent.
//
// All methods may be called from many goroutines. A nil Budget bounds nothing.
type Budget struct {
	max  int64
	logs int

	mu     sync.Mutex // guards what follows; no other lock is taken under it
	used   map[*Log]int64
	wanted bool // somebody was refused since room was last announced
}

// sharedPart of a budget is what is shared out evenly: enough for alerts beside
// a backlog, and little that a single log cannot use.
const sharedPart = 4

// NewBudget gives a budget of limit bytes, at least 64 KiB, for as many logs as
// are expected; more may come, whose shares are then smaller. Logs join it by
// Options.Budget and leave it with Close.
func NewBudget(limit int64, logs int) *Budget {
	return &Budget{max: limit, logs: logs, used: map[*Log]int64{}}
}

// Used gives the bytes of all logs, what is being written included, and the bound.
// More than the bound is in use only when it was so at Open.
func (b *Budget) Used() (used, limit int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sum(), b.max
}

// sum is what all use; mu is held.
func (b *Budget) sum() (total int64) {
	for _, n := range b.used {
		total += n
	}
	return total
}

// share is what each log may always have; mu is held.
func (b *Budget) share() int64 {
	return b.max / sharedPart / int64(max(1, b.logs, len(b.used)))
}

// segmentBytes is the size of segment at which a log can drop one within its
// share.
func (b *Budget) segmentBytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.share() / segmentsPerLimit
}

// join brings in a log that has used bytes on disk.
func (b *Budget) join(l *Log, used int64) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used[l] = used
}

// leave takes a log out; its bytes no longer count.
func (b *Budget) leave(l *Log) {
	if b == nil {
		return
	}
	b.mu.Lock()
	delete(b.used, l)
	b.mu.Unlock()
	b.roomCame()
}

// left is how much l may take; it is negative when there is too much already. mu
// is held.
func (b *Budget) left(l *Log) int64 {
	share := b.share()
	var others, promised int64
	for other, n := range b.used {
		if other != l {
			others += n
			promised += max(n, share)
		}
	}
	limit := min(b.max-others, max(b.max-promised, share))
	return limit - b.used[l]
}

// take gives n bytes to l, or nothing and false.
func (b *Budget) take(l *Log, n int64) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.left(l) {
		b.wanted = true
		return false
	}
	b.used[l] += n
	return true
}

// takeUpTo gives l as much of n bytes as there is.
func (b *Budget) takeUpTo(l *Log, n int64) int64 {
	if b == nil {
		return n
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n = max(0, min(n, b.left(l)))
	b.used[l] += n
	return n
}

// give takes n bytes back from l. A negative n is taken without asking.
func (b *Budget) give(l *Log, n int64) {
	if b == nil || n == 0 {
		return
	}
	b.mu.Lock()
	if _, found := b.used[l]; found {
		b.used[l] -= n
	}
	b.mu.Unlock()
	if n > 0 {
		b.roomCame()
	}
}

// roomCame wakes all logs if one of them was refused. Without the condition two
// logs that fail for another reason would wake each other without end.
func (b *Budget) roomCame() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.wanted {
		return
	}
	b.wanted = false
	for l := range b.used {
		poke(l.freed)
	}
}

// reclaimOthers lets a log other than asking delete its oldest segment, if one
// has any that is sent. The caller holds no lock: two logs may ask each other.
func (b *Budget) reclaimOthers(asking *Log) bool {
	if b == nil {
		return false
	}
	for _, l := range b.bySentAge(asking) {
		if l.reclaimSent() {
			return true
		}
	}
	return false
}

// bySentAge lists the logs that have something sent to give up, the one in which
// it was sent first at the front.
func (b *Budget) bySentAge(asking *Log) (logs []*Log) {
	b.mu.Lock()
	for l := range b.used {
		if l != asking {
			logs = append(logs, l)
		}
	}
	b.mu.Unlock()
	since := map[*Log]time.Time{}
	logs = slices.DeleteFunc(logs, func(l *Log) bool {
		at, found := l.sentSince()
		since[l] = at
		return !found
	})
	slices.SortFunc(logs, func(x, y *Log) int { return since[x].Compare(since[y]) })
	return logs
}
