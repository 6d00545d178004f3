package recv

import "sync/atomic"

// itemBytes is what a batch costs beside its data: queue, maps, closure.
const itemBytes = 256

// memory counts the bytes of batches that are held: waiting for order, queued,
// or with the sink. Safe for concurrent use.
type memory struct {
	limit int64
	used  atomic.Int64
}

// reserve takes n bytes, or returns false when that would pass the limit.
func (m *memory) reserve(n int64) bool {
	if m.used.Add(n) <= m.limit {
		return true
	}
	m.used.Add(-n)
	return false
}

func (m *memory) release(n int64) { m.used.Add(-n) }

func batchCost(data []byte) int64 { return int64(cap(data)) + itemBytes }
