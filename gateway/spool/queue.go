package spool

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// queueOverhead is what an entry costs beside its bytes, so that empty entries
// cannot fill memory either.
const queueOverhead = 128

// pending is an entry that is not durable yet.
type pending struct {
	parts     [][]byte
	bytes     int64 // of all parts
	weight    uint32
	withdrawn bool // the caller has given up; drop it when it comes back
	done      func(seq uint64, err error)
	owner     *waiter // set by Append, nil for AppendAsync
}

// queue holds what was appended and is not durable yet, in order, bounded in
// bytes. The writer takes a group from the front, and either finishes it or
// gives it back.
type queue struct {
	limit int64

	mu      sync.Mutex // guards what follows
	items   []pending
	front   int   // items before it are finished
	busy    int   // items from front on that the writer works on
	bytes   int64 // of all unfinished items, with overhead
	anyGone bool  // an item of the group is withdrawn
	held    bool  // the writer cannot write and drops nothing: callers wait
	closed  bool
	waiting bool          // somebody waits on space
	space   chan struct{} // closed, and replaced, when there may be room

	more chan struct{} // holds a token when the writer should look
}

func newQueue(limit int64) *queue {
	return &queue{limit: limit, space: make(chan struct{}), more: make(chan struct{}, 1)}
}

// put appends p, waiting for room until ctx ends.
func (q *queue) put(ctx context.Context, p pending) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("spool: waiting for room: %w", err)
		}
		room, err := q.tryPut(p)
		if err != nil {
			return err
		}
		if room == nil {
			q.wake()
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
		}
	}
}

// tryPut appends p, or gives a channel that is closed when there may be room.
func (q *queue) tryPut(p pending) (<-chan struct{}, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, fmt.Errorf("spool: %w", ErrClosed)
	}
	empty := q.front == len(q.items)
	if !empty && (q.held || q.bytes+p.bytes+queueOverhead > q.limit) {
		q.waiting = true
		return q.space, nil
	}
	q.items = append(q.items, p)
	q.bytes += p.bytes + queueOverhead
	return nil, nil
}

func (q *queue) wake() {
	select {
	case q.more <- struct{}{}:
	default:
	}
}

// take copies a group of at most limit bytes (at least one entry, if there is
// one) to the end of into. Nothing else may be taken before finish or giveBack.
func (q *queue) take(limit int64, into []pending) []pending {
	q.mu.Lock()
	defer q.mu.Unlock()
	var bytes int64
	for _, p := range q.items[q.front:] {
		bytes += p.bytes + recordHeadBytes
		if q.busy > 0 && bytes > limit {
			break
		}
		into = append(into, p)
		q.busy++
	}
	return into
}

// finish removes the first n entries of the group and leaves the rest in the
// queue, except what was withdrawn meanwhile.
func (q *queue) finish(n int) {
	q.mu.Lock()
	for i := q.front; i < q.front+n; i++ {
		q.bytes -= q.items[i].bytes + queueOverhead
		q.items[i] = pending{}
	}
	q.front += n
	q.busy = 0
	gone := q.removeWithdrawn()
	q.compact()
	q.announceRoom()
	q.mu.Unlock()
	for _, p := range gone {
		p.done(0, errWithdrawn)
	}
}

// giveBack leaves the whole group in the queue.
func (q *queue) giveBack() { q.finish(0) }

// compact moves the items to the start of their memory when half of it is spent.
func (q *queue) compact() {
	if q.front <= len(q.items)/2 {
		return
	}
	kept := copy(q.items, q.items[q.front:])
	clear(q.items[kept:])
	q.items = q.items[:kept]
	q.front = 0
}

// removeWithdrawn takes out what was withdrawn while the writer had it.
func (q *queue) removeWithdrawn() (gone []pending) {
	if !q.anyGone {
		return nil
	}
	q.anyGone = false
	kept := q.items[:q.front]
	for _, p := range q.items[q.front:] {
		if p.withdrawn {
			gone = append(gone, p)
			q.bytes -= p.bytes + queueOverhead
			continue
		}
		kept = append(kept, p)
	}
	clear(q.items[len(kept):])
	q.items = kept
	return gone
}

// withdraw takes the entry of w out. When the writer has it just now, it stays,
// and w is told what became of it; the result is then false. It is false too
// when w has been told already.
func (q *queue) withdraw(w *waiter) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.IndexFunc(q.items, func(p pending) bool { return p.owner == w })
	switch {
	case i < 0:
		return false
	case i < q.front+q.busy:
		q.items[i].withdrawn, q.anyGone = true, true
		return false
	}
	q.bytes -= q.items[i].bytes + queueOverhead
	q.items = slices.Delete(q.items, i, i+1)
	q.announceRoom()
	return true
}

// hold makes callers wait (true) as long as something is queued.
func (q *queue) hold(held bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held = held
	if !held {
		q.announceRoom()
	}
}

// announceRoom lets those look again who wait for room; q.mu is held.
func (q *queue) announceRoom() {
	if !q.waiting {
		return
	}
	q.waiting = false
	close(q.space)
	q.space = make(chan struct{})
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.announceRoom()
	q.mu.Unlock()
	q.wake()
}

// state says whether there are entries, how many bytes, and whether it is closed.
func (q *queue) state() (entries int, bytes int64, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) - q.front, q.bytes, q.closed
}
