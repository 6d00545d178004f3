package gateway

import (
	"maps"
	"strings"
	"sync"

	"github.com/sluice-gateway/sluice/gateway/console"
)

const (
	maxReasons   = 64 // beyond, reasons are counted together: some are words of a plugin or of another node (ours)
	maxReason    = 96 // bytes (ours)
	otherReasons = "other reasons"
)

// dropCounts counts losses by reason. Its zero value is ready.
type dropCounts struct {
	mu sync.Mutex // guards by
	by map[string]console.Drop
}

// add returns the reason as it is counted.
func (d *dropCounts) add(reason string, batches, records uint64) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil {
		d.by = map[string]console.Drop{}
	}
	reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
	if _, known := d.by[reason]; !known && len(d.by) >= maxReasons {
		reason = otherReasons
	}
	c := d.by[reason]
	c.Batches += batches
	c.Records += records
	d.by[reason] = c
	return reason
}

func (d *dropCounts) snapshot() map[string]console.Drop {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.by)
}
