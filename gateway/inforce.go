package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// inForce is what the audit log has last said of the node, so that a start writes down what is different and no more.
type inForce struct {
	Config     string            `json:"config"`                // SHA-256 of the configuration, hexadecimal
	Exceptions map[string]string `json:"exceptions"`            // what each allows, by name
	Plugins    map[string]string `json:"plugins"`               // SHA-256 of the program, by component
	Pairings   map[string]string `json:"pairings"`              // name and fingerprint, by link
	Trips      map[string]bool   `json:"trips"`                 // that were written down and are not reset
	Restored   time.Time         `json:"restored,omitzero"`     // the newest that was written down
	Audits     map[string]string `json:"near_logs,omitempty"`   // the far side's: newest head heard, by link
	Broken     map[string]string `json:"near_broken,omitempty"` // the far side's: how a near log contradicted it, by link

	path string
}

// loadInForce reads the file. One that is damaged is told, and begins anew: it is the log that is evidence, not this.
func loadInForce(path string) (*inForce, error) {
	f := &inForce{path: path}
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("audit: %w", err)
	}
	if err == nil {
		if err := json.Unmarshal(b, f); err != nil {
			return nil, fmt.Errorf("audit: %s is damaged: %w: move it away; what is in force is then written to the audit log again", path, err)
		}
	}
	for _, m := range []*map[string]string{&f.Exceptions, &f.Plugins, &f.Pairings, &f.Audits, &f.Broken} {
		if *m == nil {
			*m = map[string]string{}
		}
	}
	if f.Trips == nil {
		f.Trips = map[string]bool{}
	}
	return f, nil
}

// store replaces the file whole.
func (f *inForce) store() error {
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	tmp := f.path + ".new"
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Rename(tmp, f.path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(f.path))
}

// keepInForce stores what was written down. An error costs a repetition after the next start, and is told.
func (g *Gateway) keepInForce() {
	g.forceMu.Lock()
	defer g.forceMu.Unlock()
	if err := g.inForce.store(); err != nil {
		g.log.Warn("audit: what is in force was not stored; the next start writes it down again", "error", err)
	}
}

// changes lists what is new or different in now, and what is gone or different, sorted.
func changes(before, now map[string]string) (began, ended []string) {
	for name, text := range now {
		if before[name] != text {
			began = append(began, name)
		}
	}
	for name, text := range before {
		if now[name] != text {
			ended = append(ended, name)
		}
	}
	slices.Sort(began)
	slices.Sort(ended)
	return began, ended
}

// forget drops the entries of a map that keep does not want.
func forget(m map[string]bool, keep map[string]bool) {
	maps.DeleteFunc(m, func(name string, _ bool) bool { return !keep[name] })
}
