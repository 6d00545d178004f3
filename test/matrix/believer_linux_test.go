package matrix_test

import (
	"sync"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// believer is a fence that says of every decision that it stands, and puts
// nothing there: what is attacked then are the guard's own sockets alone.
type believer struct {
	mu      sync.Mutex // guards s
	s       guard.Standing
	changed chan struct{}
}

func newBeliever() *believer { return &believer{changed: make(chan struct{}, 1)} }

// Standing implements guard.Fence.
func (b *believer) Standing() guard.Standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// Changed implements guard.Fence.
func (b *believer) Changed() <-chan struct{} { return b.changed }

func (b *believer) decided(decisions []guard.Decision) {
	ok := func(name string) guard.Check { return guard.Check{Name: name, OK: true} }
	s := guard.Standing{Known: true, Input: ok("input")}
	for _, d := range decisions {
		s.Barriers = append(s.Barriers, guard.Barrier{
			Interface: d.Name, Index: d.Index, Role: d.Role,
			Egress:  []guard.Check{ok("first"), ok("second")},
			Ingress: []guard.Check{ok("first"), ok("second")},
		})
	}
	b.mu.Lock()
	b.s = s
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}
