package fence

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// Plan is the desired state: what stands before which interface.
type Plan struct {
	Targets []Target
	// Awaited are the names of targets that are gone: the chain before such a
	// name stays, and where the kernel goes by names (Linux 6.18 does) it holds
	// from the moment in which an interface of that name appears.
	Awaited []string
	// Ports are dropped on every interface that is not among Allowed. With
	// Shut they are dropped everywhere: something has tripped.
	Ports   []guard.Port
	Allowed []int
	Shut    bool
}

// Target is one fenced interface.
type Target struct {
	Index     int
	Name, MAC string
	Role      guard.Role // Monitoring, DiodeTX or DiodeRX
	// Send may leave by a DiodeTX, Receive may arrive at a DiodeRX; nothing
	// else may. On a capturing DiodeRX nothing may arrive at all: captures
	// see frames before the drops.
	Send, Receive []Flow
}

// Flow is UDP from an address to an address and port.
type Flow struct {
	Source netip.Addr // zero = any
	Dest   netip.AddrPort
}

// Findings is what a look at the kernel found.
type Findings struct {
	Barriers []guard.Barrier
	Input    guard.Check
	// Breaches are what nobody can set right afterwards: frames have left,
	// or could have left past every drop.
	Breaches []Breach
	// Drifts are what Apply sets right again.
	Drifts []Drift
}

// Breach is a reason to trip.
type Breach struct {
	Index     int
	Interface string
	Cause     string
}

// Drift is a setting that is no longer as it was applied.
type Drift struct {
	Index     int
	Interface string
	What      string
}

// check refuses a flow that no rule can express.
func (f Flow) check() error {
	dest := f.Dest.Addr()
	if !f.Dest.IsValid() || dest.Is4In6() || f.Dest.Port() == 0 || f.Source.IsValid() && f.Source.BitLen() != dest.BitLen() {
		return fmt.Errorf("flow %s: want addresses of one family and a port", f)
	}
	return nil
}

// check refuses a plan that means nothing.
func (p Plan) check() error {
	seen := map[int]bool{}
	for _, t := range p.Targets {
		if t.Role != guard.Monitoring && t.Role != guard.DiodeTX && t.Role != guard.DiodeRX {
			return fmt.Errorf("guard: fence: %s: role %s needs no fence", t.Name, t.Role)
		}
		if t.Index <= loopbackIndex || seen[t.Index] {
			return fmt.Errorf("guard: fence: %s: index %d", t.Name, t.Index)
		}
		seen[t.Index] = true
		for _, f := range slices.Concat(t.Send, t.Receive) {
			if err := f.check(); err != nil {
				return fmt.Errorf("guard: fence: %s: %w", t.Name, err)
			}
		}
	}
	return nil
}
