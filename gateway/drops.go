package gateway

import (
	"maps"
	"sync"

	"github.com/sluice-gateway/sluice/gateway/console"
)

// dropCounts counts losses by reason. Its zero value is ready.
type dropCounts struct {
	mu sync.Mutex // guards by
	by map[string]console.Drop
}

func (d *dropCounts) add(reason string, batches, records uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil {
		d.by = map[string]console.Drop{}
	}
	c := d.by[reason]
	c.Batches += batches
	c.Records += records
	d.by[reason] = c
}

func (d *dropCounts) snapshot() map[string]console.Drop {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.by)
}
