package gateway

import "github.com/sluice-gateway/sluice/gateway/console"

// control is what the console offers of this node beside its status.
func (g *Gateway) control() []console.Option {
	return []console.Option{
		console.WithGaps(g), console.WithResends(g), console.WithLinkCare(g), console.WithLinkTests(g),
		console.WithGuard(g), console.WithInterfaces(g),
	}
}
