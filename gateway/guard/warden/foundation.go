package warden

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/sluice-gateway/sluice/gateway/guard/fence"
)

// foundation is what the fence stands on: the socket that owns its table, and
// the safe in which that socket outlives this process.
type foundation struct {
	ctx  context.Context //nolint:containedctx // of the process: what it starts must end with it
	log  *slog.Logger
	safe safe
}

// build continues with the table of an earlier process, or makes one.
func (f *foundation) build() (enforcer, error) { return f.fence(tableName) }

// table adopts what was kept. What cannot be adopted is let go of: the table
// goes with it, and the programs before the interfaces stay.
func (f *foundation) table(name string) (table *fence.Table, adopted bool, err error) {
	kept, err := f.safe.take(f.ctx, name)
	if err != nil {
		f.log.Warn("guard: what was kept cannot be had", "what", name, "error", err)
	}
	if kept != nil {
		table, err := fence.AdoptTable(kept)
		if err == nil {
			f.log.Info("guard: table taken over from an earlier warden", "what", name)
			return table, true, nil
		}
		f.log.Error("guard: kept table cannot be taken over", "what", name, "error", err)
		_ = kept.Close() // useless
		f.safe.forget(name)
	}
	table, err = fence.OpenTable()
	if err != nil {
		return nil, false, fmt.Errorf("guard: table: %w", err)
	}
	return table, false, nil
}

// fence builds one on the table of that name.
func (f *foundation) fence(name string) (enforcer, error) {
	table, adopted, err := f.table(name)
	if err != nil {
		return nil, err
	}
	built, err := fence.New(fence.Options{Log: f.log, Table: table})
	if err != nil {
		return nil, errors.Join(err, table.Close())
	}
	socket, err := table.File()
	if err == nil {
		err = f.safe.keep(f.ctx, name, socket)
	}
	if err != nil {
		f.log.Error("guard: nobody keeps the table while no warden runs: one egress drop of two would go with this process", "error", err)
		return built, nil
	}
	f.log.Info("guard: table kept outside this process", "what", name, "adopted", adopted)
	return built, nil
}

// tend sees every second that what is kept still is.
func (f *foundation) tend() error { return f.safe.tend(f.ctx) }

// scatter lets go of what is kept.
func (f *foundation) scatter() { f.safe.forget(tableName) }

// abandon lets go of the namespace.
func (f *foundation) abandon() { f.safe.forget(chamberTable, chamberName) }
