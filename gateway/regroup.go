package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/sluice-gateway/sluice/diode/ledger"
)

// groupFile, in the directory of a diode, names the group that had it last, so that a ledger is found again when diodes
// are joined or taken apart.
const groupFile = "group"

// regroup takes over, into the ledger of a group, what is missing by the ledgers that its diodes had before. Those stay as
// they are: when the old arrangement comes back, so does what it knew. Doing it twice changes nothing.
//
//	diode d, ledger "d" ──┐
//	diode e, ledger "e" ──┴─► ledger "d+e" ─► open, or final with the first heartbeat that says it is not kept
func (b *books) regroup(links, name string, diodes []string) error {
	var errs []error
	for _, d := range diodes {
		before, err := lastGroup(links, d)
		if err == nil && before != name {
			err = b.adopt(filepath.Join(links, originDir(before), "ledger"), before)
		}
		if err == nil {
			err = noteGroup(filepath.Join(links, d), name)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("diode %q: %w", d, err))
		}
	}
	return errors.Join(errs...)
}

// lastGroup is the group that had a diode last; one that was never in a group was alone.
func lastGroup(links, diode string) (string, error) {
	b, err := os.ReadFile(filepath.Join(links, diode, groupFile))
	if errors.Is(err, fs.ErrNotExist) {
		return diode, nil
	}
	return strings.TrimSpace(string(b)), err
}

// adopt declares what is open in another ledger.
func (b *books) adopt(dir, name string) error {
	if !exists(dir) {
		return nil
	}
	old, err := ledger.Open(dir, ledger.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	missing := old.Missing()
	for _, g := range missing {
		if err := b.declare(g, ledger.Mark{}); err != nil {
			return errors.Join(err, old.Close())
		}
	}
	if len(missing) > 0 {
		b.log.Warn("what was missing before the diodes were put together otherwise is in this ledger now", "before", name, "ranges", len(missing))
	}
	return old.Close()
}

// noteGroup makes durable which group has a diode.
func noteGroup(dir, name string) error {
	if err := privateDir(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, groupFile)
	if b, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(b)) == name { // #nosec G304 -- below the state directory
		return nil
	}
	if err := os.WriteFile(path+".new", []byte(name+"\n"), 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(dir)
}
