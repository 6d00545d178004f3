package recv

import (
	"sync"

	"github.com/sluice-gateway/sluice/diode"
)

// item is a batch or a gap on its way to the sink.
type item struct {
	batch diode.Batch
	gap   diode.Gap
	isGap bool
}

// queue keeps batches and gaps in stream order. Its batches are bounded by the
// receiver's memory; gaps that continue each other become one, so that there
// are never more gaps than batches plus series. Safe for concurrent use.
type queue struct {
	mu    sync.Mutex // guards items and done
	items []item
	head  int
	done  bool
	ready chan struct{} // capacity 1: something is there
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

func (q *queue) batch(b diode.Batch) { q.push(item{batch: b}) }

func (q *queue) gap(g diode.Gap) { q.push(item{gap: g, isGap: true}) }

func (q *queue) push(x item) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if x.isGap && len(q.items) > q.head && q.items[len(q.items)-1].joins(x) {
		return
	}
	if q.head > len(q.items)/2 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, x)
	q.signal()
}

// joins extends the gap x by y when y continues it.
func (x *item) joins(y item) bool {
	a, b := &x.gap, &y.gap
	if !x.isGap || a.Epoch != b.Epoch || a.Class != b.Class || a.Reason != b.Reason || a.Last == 0 || b.Last == 0 ||
		a.Last+1 != b.First || a.WeightKnown != b.WeightKnown || a.BeforeFirstContact != b.BeforeFirstContact {
		return false
	}
	a.Last, a.SumAfter, a.After = b.Last, b.SumAfter, b.After
	a.Weight += b.Weight
	return true
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// close says that nothing more will come.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done = true
	q.signal()
}

// pop returns the next item, or that there is none now, or that there will be
// none any more.
func (q *queue) pop() (x item, ok, done bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.head == len(q.items) {
		return item{}, false, q.done
	}
	x = q.items[q.head]
	q.items[q.head] = item{}
	q.head++
	if q.head == len(q.items) {
		q.items, q.head = q.items[:0], 0
	}
	return x, true, false
}
