//go:build linux

package fence_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/gateway/guard/fence"
	"github.com/sluice-gateway/sluice/test/netlab"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func tables(lab *netlab.Lab) int {
	return strings.Count(lab.Self().Run("nft", "list", "tables"), " sluice")
}

// TestTableSurvivesFlush: the owner flag keeps the tables when another process
// flushes the rule set, and nobody else can change them.
func TestTableSurvivesFlush(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	lab.Self().Run("nft", "add", "table", "inet", "control")
	table, err := fence.OpenTable()
	must(t, err)
	lab.Self().Run("nft", "flush", "ruleset")
	if n := tables(lab); n != 2 {
		t.Errorf("%d tables after flush, want 2", n)
	}
	if strings.Contains(lab.Self().Run("nft", "list", "tables"), "control") {
		t.Error("positive control: the flush flushed nothing")
	}
	if out, err := lab.Self().Command(t.Context(), "nft", "delete", "table", "netdev", "sluice").CombinedOutput(); err == nil {
		t.Errorf("another process deleted the table: %s", out)
	}
	if _, err := fence.OpenTable(); !errors.Is(err, fence.ErrTableOwned) {
		t.Errorf("a second owner: %v", err)
	}
	must(t, table.Close())
	if n := tables(lab); n != 0 {
		t.Errorf("%d tables after the socket closed, want 0", n)
	}
}

// TestTableOutlivesItsMaker: the socket in another process keeps the tables,
// and whoever gets it back can go on.
func TestTableOutlivesItsMaker(t *testing.T) {
	lab := netlab.Isolate(t)
	if lab == nil {
		return
	}
	table, err := fence.OpenTable()
	must(t, err)
	file, err := table.File()
	must(t, err)
	keeper := lab.Self().Command(t.Context(), "cat")
	keeper.ExtraFiles = []*os.File{file}
	in, err := keeper.StdinPipe()
	must(t, err)
	must(t, keeper.Start())
	kept, err := table.File()
	must(t, err)
	must(t, errors.Join(file.Close(), table.Close()))
	adopted, err := fence.AdoptTable(kept)
	must(t, err)
	must(t, adopted.Close())
	if n := tables(lab); n != 2 {
		t.Errorf("%d tables while only another process holds the socket, want 2", n)
	}
	must(t, errors.Join(in.Close(), keeper.Wait()))
	if n := tables(lab); n != 0 {
		t.Errorf("%d tables after the last holder ended, want 0", n)
	}
}
