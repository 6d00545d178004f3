package warden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// privateMode is that of everything in the state directory: who can write
// there decides what is fenced.
const privateMode = 0o600

// store keeps in the state directory what must survive the process.
type store struct {
	dir string
}

// policy returns the policy of the last order, or nil when there was none.
func (s store) policy() (*guard.Policy, error) {
	var p guard.Policy
	found, err := s.load(policyFile, &p)
	if !found || err != nil {
		return nil, err
	}
	return &p, nil
}

func (s store) setPolicy(p *guard.Policy) error {
	if p == nil {
		return s.remove(policyFile)
	}
	return s.save(policyFile, p)
}

// latch is the content of latchFile.
type latch struct {
	Trips []guard.Trip `json:"trips"`
}

// trips returns what is latched. A file that cannot be read counts as a trip:
// it may have held one.
func (s store) trips() ([]guard.Trip, error) {
	var l latch
	if _, err := s.load(latchFile, &l); err != nil {
		return nil, err
	}
	return l.Trips, nil
}

func (s store) setTrips(trips []guard.Trip) error {
	if len(trips) == 0 {
		return s.remove(latchFile)
	}
	return s.save(latchFile, latch{Trips: trips})
}

// load reads one file. It reports whether there is one.
func (s store) load(name string, into any) (bool, error) {
	path := filepath.Join(s.dir, name)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = strict(data, into)
	}
	if err != nil {
		return true, fmt.Errorf("guard: warden: %s: %w", path, err)
	}
	return true, nil
}

// strict decodes JSON and refuses what it does not know: a field that is
// skipped could be one that asks for a drop.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one value")
	}
	return nil
}

// save replaces one file, so that after a crash there is the old or the new
// one.
func (s store) save(name string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("guard: warden: %s: %w", name, err)
	}
	if err := s.replace(name, append(data, '\n')); err != nil {
		return fmt.Errorf("guard: warden: keep %s: %w", name, err)
	}
	return nil
}

func (s store) replace(name string, data []byte) error {
	temporary := filepath.Join(s.dir, name+".new")
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, privateMode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(s.dir, name)); err != nil {
		return err
	}
	return s.sync()
}

func (s store) remove(name string) error {
	err := os.Remove(filepath.Join(s.dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = s.sync()
	}
	if err != nil {
		return fmt.Errorf("guard: warden: %w", err)
	}
	return nil
}

// sync makes a rename or a removal last.
func (s store) sync() error {
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
