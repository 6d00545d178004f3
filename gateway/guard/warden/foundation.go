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
	ctx  context.Context // of the process
	log  *slog.Logger
	safe safe
}

// founded is a fence with the table that it stands on.
type founded struct {
	*fence.Fence
	table *fence.Table // nil on a kernel without nftables
}

// Close lets go of both. What is kept outside this process keeps standing.
func (f founded) Close() error {
	err := f.Fence.Close()
	if f.table != nil {
		err = errors.Join(err, f.table.Close())
	}
	return err
}

// build continues with the table of an earlier process, or makes one.
func (f *foundation) build(single bool) (enforcer, error) { return f.fence(tableName, single) }

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

// fence builds one on the table of that name. With single it does without a
// table where there can be none.
func (f *foundation) fence(name string, single bool) (enforcer, error) {
	table, adopted, err := f.table(name)
	if err != nil && !single {
		return nil, err
	}
	built, newErr := fence.New(fence.Options{Log: f.log, Table: table, Single: single})
	if newErr != nil {
		if table != nil {
			err = errors.Join(err, table.Close())
		}
		return nil, errors.Join(newErr, err)
	}
	if table == nil {
		f.log.Warn("guard: no table: one egress drop, as an exception allows", "error", err)
		return founded{built, nil}, nil
	}
	f.secure(name, table, adopted)
	return founded{built, table}, nil
}

// secure puts the table's socket where it outlives this process.
func (f *foundation) secure(name string, table *fence.Table, adopted bool) {
	socket, err := table.File()
	if err == nil {
		err = f.safe.keep(f.ctx, name, socket)
	}
	if err != nil {
		f.log.Error("guard: nobody keeps the table while no warden runs: one egress drop of two would go with this process", "error", err)
		return
	}
	f.log.Info("guard: table kept outside this process", "what", name, "adopted", adopted)
}

// tend sees every second that what is kept still is.
func (f *foundation) tend() error { return f.safe.tend(f.ctx) }

// scatter lets go of what is kept.
func (f *foundation) scatter() { f.safe.forget(tableName) }

// abandon lets go of the namespace.
func (f *foundation) abandon() { f.safe.forget(chamberTable, chamberName) }
