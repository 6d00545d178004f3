package guard_test

import (
	"log/slog"
	"sync"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// believer is a fence that says of every decision that it stands, and puts
// nothing there: what is attacked beside it are the guard's own sockets.
type believer struct {
	mu      sync.Mutex // guards s
	s       guard.Standing
	changed chan struct{}
}

func newBeliever() *believer {
	return &believer{s: guard.Standing{Known: true}, changed: make(chan struct{}, 1)}
}

// Standing implements guard.Fence.
func (b *believer) Standing() guard.Standing {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

// Changed implements guard.Fence.
func (b *believer) Changed() <-chan struct{} { return b.changed }

// set changes what it says.
func (b *believer) set(f func(s *guard.Standing)) {
	b.mu.Lock()
	f(&b.s)
	b.mu.Unlock()
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

func (b *believer) decided(all []guard.Decision) {
	ok := func(name string) guard.Check { return guard.Check{Name: name, OK: true} }
	b.set(func(s *guard.Standing) {
		s.Input, s.Barriers = ok("nft input"), nil
		for _, d := range all {
			s.Barriers = append(s.Barriers, guard.Barrier{
				Interface: d.Name, Index: d.Index, Role: d.Role,
				Egress:  []guard.Check{ok("nft egress"), ok("tc egress")},
				Ingress: []guard.Check{ok("nft ingress"), ok("tc ingress")},
			})
		}
	})
}

// newGuard makes a guard that believes itself fenced.
func newGuard(p guard.Policy) (*guard.Guard, error) {
	return newBeliever().guard(guard.Options{Policy: p, TendNeighbours: true})
}

// guard makes one behind this fence.
func (b *believer) guard(o guard.Options) (*guard.Guard, error) {
	o.Log, o.Fence, o.OnDecide = slog.New(slog.DiscardHandler), b, b.decided
	return guard.New(o)
}
