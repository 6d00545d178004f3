package guard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
)

// MemoryError says that the file that remembers accepted interfaces cannot be
// used. Nothing is opened then: without it any interface could be a new one.
type MemoryError struct {
	Path string
	Err  error
}

// Error names the file, the cause and the remedy.
func (e *MemoryError) Error() string {
	return fmt.Sprintf("guard: memory of interfaces %s: %v: put back a copy, or move it away: every interface that is there then is accepted", e.Path, e.Err)
}

// Unwrap returns the cause.
func (e *MemoryError) Unwrap() error { return e.Err }

const (
	// memoryVersion is that of memoryFile.
	memoryVersion = 1
	// maxMemoryBytes bounds what is read. Ours: a full memory takes a tenth.
	maxMemoryBytes = 16 << 20
	// memoryMode lets the owner alone know the machine's cards.
	memoryMode = 0o600
)

// memoryFile is what is on disk, as JSON.
type memoryFile struct {
	Version  int           `json:"version"`
	Accepted []record      `json:"accepted"`
	Watched  []watchRecord `json:"monitoring_points"`
}

// watchRecord is one hardware address of a monitoring point.
type watchRecord struct {
	MAC  string `json:"mac"`
	Rule string `json:"rule"` // by which it was declared
}

// openMemory reads the file. Where there is none, this is the first start.
func openMemory(path string) (*memory, error) {
	m := newMemory()
	m.path = path
	if path == "" {
		return m, nil
	}
	file, err := os.Open(filepath.Clean(path))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err != nil {
		return nil, &MemoryError{path, err}
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxMemoryBytes+1))
	if err != nil {
		return nil, &MemoryError{path, err}
	}
	if err := m.decode(text); err != nil {
		return nil, &MemoryError{path, err}
	}
	return m, nil
}

// decode takes in the content of a file.
func (m *memory) decode(text []byte) error {
	if len(text) > maxMemoryBytes {
		return fmt.Errorf("larger than %d bytes", maxMemoryBytes)
	}
	var f memoryFile
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return fmt.Errorf("damaged: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("damaged: something follows its end")
	}
	if err := f.check(); err != nil {
		return err
	}
	m.started, m.accepted = true, f.Accepted
	for _, w := range f.Watched {
		m.watchMAC[w.MAC] = w.Rule
	}
	return nil
}

func (f memoryFile) check() error {
	switch {
	case f.Version != memoryVersion:
		return fmt.Errorf("its version is %d, this Sluice reads %d", f.Version, memoryVersion)
	case f.Accepted == nil || f.Watched == nil:
		return errors.New("damaged: a part is missing")
	case len(f.Accepted) > maxAccepted || len(f.Watched) > maxWatchedMACs:
		return fmt.Errorf("damaged: %d interfaces, %d monitoring points", len(f.Accepted), len(f.Watched))
	}
	for i, r := range f.Accepted {
		if r.Name == "" || r.By != byStart && r.By != byOperator {
			return fmt.Errorf("damaged: interface %d: name %q, accepted by %q", i+1, r.Name, r.By)
		}
	}
	for i, w := range f.Watched {
		if w.MAC == "" || w.Rule == "" {
			return fmt.Errorf("damaged: monitoring point %d: address %q, rule %q", i+1, w.MAC, w.Rule)
		}
	}
	return nil
}

// encode returns the content of the file.
func (m *memory) encode() ([]byte, error) {
	f := memoryFile{Version: memoryVersion, Accepted: m.accepted, Watched: []watchRecord{}}
	if f.Accepted == nil {
		f.Accepted = []record{}
	}
	for _, mac := range slices.Sorted(maps.Keys(m.watchMAC)) {
		f.Watched = append(f.Watched, watchRecord{mac, m.watchMAC[mac]})
	}
	text, err := json.MarshalIndent(f, "", "  ")
	return append(text, '\n'), err
}

// save writes the file when something has changed: whole or not at all.
func (m *memory) save() error {
	if m.path == "" || !m.dirty {
		return nil
	}
	text, err := m.encode()
	if err == nil {
		err = replace(m.path, text)
	}
	if err != nil {
		return &MemoryError{m.path, err}
	}
	m.dirty = false
	return nil
}

// replace gives a file another content, so that after a crash it has one of
// both.
func replace(path string, text []byte) error {
	dir := filepath.Dir(path)
	file, err := os.CreateTemp(dir, filepath.Base(path)+".*") // 0600, see os.CreateTemp
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Chmod(memoryMode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	folder, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
