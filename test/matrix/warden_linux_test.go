package matrix_test

import "github.com/sluice-gateway/sluice/gateway/guard"

// warden is the whole defence.
func (c *cell) warden(_ guard.Policy) defence {
	c.Helper()
	c.quiet()
	c.node.Nft(dropsByNft)
	c.dropByTC()
	return plain{}
}
