package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// exceptionLook is how often a running node looks whether an exception has ended. The clock of the wall decides, which
// may be set: so it is asked again and again (ours).
const exceptionLook = time.Minute

// runReceiver supervises a receiver, and closes it when the exception that it lives by ends: the component closes, it
// does not widen, and all others go on.
func (g *Gateway) runReceiver(ctx context.Context, r *receiver) error {
	e := g.livesBy(r)
	if e == nil {
		return g.opts.Host.Supervise(ctx, r.component())
	}
	allowed, cancel := context.WithCancel(ctx)
	defer cancel()
	watch := start(func() error { return waitForEnd(allowed, *e, cancel) })
	err := g.opts.Host.Supervise(allowed, r.component())
	ended := allowed.Err() != nil && ctx.Err() == nil
	cancel()
	_ = watch.wait() // it has no error
	if ended {
		g.warn("exception.%s ended on %s: %s is closed", e.Name, e.Until.Format(time.DateOnly), r.conf.Address)
		return r.relay.Close()
	}
	return err
}

// livesBy is the exception without which the receiver would not be allowed.
func (g *Gateway) livesBy(r *receiver) *config.Exception {
	if encryptionWord(r.part.traits.Encryption) != encryptionOff || r.part.traits.Network == "" {
		return nil
	}
	all := g.opts.Plan.Config.Exceptions
	i := slices.IndexFunc(all, func(e config.Exception) bool {
		return e.On == r.conf.Address && e.Allows == "unencrypted_"+r.part.traits.Network
	})
	if i < 0 {
		return nil
	}
	return &all[i]
}

// waitForEnd calls ended when the last day of an exception has passed.
func waitForEnd(ctx context.Context, e config.Exception, ended func()) error {
	tick := time.NewTicker(exceptionLook)
	defer tick.Stop()
	for !e.Ended(time.Now()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
	ended()
	return nil
}

// exceptions lists those in force on this node.
func (g *Gateway) exceptions(now time.Time) []console.Exception {
	out := []console.Exception{}
	for _, e := range g.opts.Plan.Config.Exceptions {
		if e.Ended(now) || !g.isHere(e.On) {
			continue
		}
		out = append(out, console.Exception{
			Name: e.Name, Allows: e.Allows, On: e.On, Reason: e.Reason, ApprovedBy: e.ApprovedBy, Until: e.Until.Format(time.DateOnly),
		})
	}
	return out
}

// isHere reports whether an address is this node's, or of a component on it.
func (g *Gateway) isHere(address string) bool {
	c := g.opts.Plan.Config
	if r := c.Receiver(address); r != nil {
		return r.Node == g.opts.Node
	}
	if s := c.Sink(address); s != nil {
		return s.Node == g.opts.Node
	}
	return address == "node."+g.opts.Node
}
