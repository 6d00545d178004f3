package gateway

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/hcl/config"
)

// Weaknesses that an exception may allow and the core acts upon.
const (
	allowsDegradedSandbox = "degraded_sandbox"
	allowsSingleBarrier   = "single_guard_barrier"
)

// Exemptions tells a plugin host which components may run with fewer barriers than the host has. It asks the exceptions
// of the configuration in use, by the clock, at every start of a plugin. The zero value exempts nothing.
type Exemptions struct {
	config atomic.Pointer[config.Config]
}

// Use takes a configuration into use.
func (e *Exemptions) Use(c *config.Config) { e.config.Store(c) }

// Sandbox reports whether an exception allows a degraded sandbox for a component ("udp.kics-agents"), by itself or by its
// node. The component "" is a plugin that is only asked what it is: any such exception covers it, as it has nothing yet
// that it could give away.
func (e *Exemptions) Sandbox(component string) bool {
	c := e.config.Load()
	if c == nil {
		return false
	}
	on := homes(c, component)
	return slices.ContainsFunc(c.Exceptions, func(x config.Exception) bool {
		return x.Allows == allowsDegradedSandbox && !x.Ended(time.Now()) && (component == "" || slices.Contains(on, x.On))
	})
}

// homes are the addresses of a component and of its node.
func homes(c *config.Config, component string) []string {
	var on []string
	if r := c.Receiver("receiver." + component); r != nil {
		on = append(on, r.Address, "node."+r.Node)
	}
	if s := c.Sink("sink." + component); s != nil {
		on = append(on, s.Address, "node."+s.Node)
	}
	return on
}

// singleBarrier reports whether an exception that holds now accepts one egress drop instead of two on a node.
func singleBarrier(c *config.Config, node string, now time.Time) bool {
	return slices.ContainsFunc(c.Exceptions, func(x config.Exception) bool {
		return x.Allows == allowsSingleBarrier && x.On == "node."+node && !x.Ended(now)
	})
}
