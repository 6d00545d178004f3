package gateway

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// keysDir is where pairings lie.
func keysDir(stateDir string) string { return filepath.Join(stateDir, "keys") }

// findPairing reads one side's half of a pairing. The error names the side, the cause and the remedy, and never holds a
// part of a key.
func findPairing(stateDir string, side pairing.Side, diode, name string) (pairing.File, error) {
	f, err := pairing.Find(keysDir(stateDir), side, diode, name)
	if err == nil {
		return f, nil
	}
	if old := filepath.Join(keysDir(stateDir), diode+"-"+name+".psk"); errors.Is(err, pairing.ErrMissing) && exists(old) {
		err = fmt.Errorf("%w (%s is of a form that is no longer read: a pairing has two files)", err, old)
	}
	return pairing.File{}, fmt.Errorf("diode %q: %s side: %w", diode, side, err)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// pairings of one end, the one in use first. That the one before is missing closes nothing: it is shown.
func (g *Gateway) pairings(side pairing.Side, d *config.Diode) ([]pairing.File, error) {
	if g.opts.BothEnds {
		if err := ensurePairing(g.opts.StateDir, d.Name, d.Pairing); err != nil {
			return nil, err
		}
	}
	f, err := findPairing(g.opts.StateDir, side, d.Name, d.Pairing)
	if err != nil {
		return nil, err
	}
	g.pairingUsed(d.Name, f.Pairing, f.Fingerprint)
	if side == pairing.Send || d.PreviousPairing == "" {
		return []pairing.File{f}, nil
	}
	before, err := findPairing(g.opts.StateDir, side, d.Name, d.PreviousPairing)
	if err != nil {
		g.warn("previous_pairing is not accepted: %v", err)
		return []pairing.File{f}, nil
	}
	return []pairing.File{f, before}, nil
}

// ensurePairing makes a pairing that is not there yet. Only a process that runs both ends does that: to two machines a
// person carries the halves.
func ensurePairing(stateDir, diode, name string) error {
	dir := keysDir(stateDir)
	if err := privateDir(dir); err != nil {
		return fmt.Errorf("diode %q: %w", diode, err)
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return fmt.Errorf("diode %q: %s: %w", diode, dir, err)
	}
	defer unlock()
	if exists(pairing.Path(dir, pairing.Send, diode, name)) || exists(pairing.Path(dir, pairing.Receive, diode, name)) {
		return nil // and if only one is, whoever looks for the other says so
	}
	send, receive, err := pairing.Make(diode, name, nil)
	if err != nil {
		return fmt.Errorf("diode %q: %w", diode, err)
	}
	for _, f := range []pairing.File{send, receive} {
		if _, err := pairing.Write(dir, f); err != nil {
			return fmt.Errorf("diode %q: %w", diode, err)
		}
	}
	return nil
}

// lockDir waits for the lock of a directory (flock(2)). The kernel takes it back from a process that dies.
func lockDir(path string) (unlock func(), err error) {
	d, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(d.Fd()), unix.LOCK_EX) // #nosec G115 -- a descriptor
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return func() { _ = d.Close() }, nil
}
