package gateway

import (
	"path/filepath"

	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/internal/reserve"
)

// openRoom takes hold of the disk space that is kept for small files, and bounds all spools of the node together.
func (g *Gateway) openRoom() error {
	r, err := reserve.Open(filepath.Join(g.opts.nodeDir(), "reserve"), 0)
	if err != nil {
		return err
	}
	g.room = r
	if limit := g.view.Node.Spool.MaxSize; limit > 0 {
		origins := 1 + len(g.view.SendGroups()) + len(g.view.ReceiveGroups())
		g.budget = spool.NewBudget(limit, origins*len(classes()))
	}
	return nil
}

// inRoom gives a spool its part of the disk.
func (g *Gateway) inRoom(o spool.Options) spool.Options {
	o.Budget = g.budget
	if g.room != nil {
		o.Room = g.room
	}
	return o
}
