package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/agext/levenshtein"

	"github.com/sluice-gateway/sluice/sdk"
)

const filePrefix = "sluice-"

// Installed is one plugin file.
type Installed struct {
	Kind, Name string
	Path       string
	Size       int64 // bytes
	Modified   time.Time
}

func fileName(kind, name string) string { return filePrefix + kind + "-" + name }

// Find returns the path of a plugin's file, from the first directory that has it. The error is a *NotInstalledError
// when none has, and a *StartError when the file can never be started.
func (h *Host) Find(kind, name string) (string, error) {
	if err := checkName(kind, name); err != nil {
		return "", err
	}
	for _, dir := range h.cfg.Dirs {
		path := filepath.Join(dir, fileName(kind, name))
		info, err := os.Stat(path)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", fmt.Errorf("pluginhost: %w", err)
		}
		if !info.Mode().IsRegular() {
			return "", &StartError{Kind: kind, Name: name, Reason: path + " is not a file"}
		}
		if info.Mode().Perm()&0o111 == 0 {
			return "", &StartError{Kind: kind, Name: name, Reason: path + " is not executable: chmod 755 it"}
		}
		return path, nil
	}
	return "", h.notInstalled(kind, name)
}

// checkName keeps names from leading out of a directory.
func checkName(kind, name string) error {
	if kind != sdk.KindReceiver && kind != sdk.KindSink {
		return fmt.Errorf("pluginhost: unknown kind of plugin %q", kind)
	}
	if !goodName(name) {
		return fmt.Errorf("pluginhost: plugin name %q: 1 to 64 of a-z, 0-9 and hyphen", name)
	}
	return nil
}

func goodName(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" && name[0] != '-'
}

func (h *Host) notInstalled(kind, name string) error {
	e := &NotInstalledError{Kind: kind, Name: name, Dirs: h.cfg.Dirs, Installed: h.Installed()}
	best := 1 + max(2, len(name)/3) // further away is no typing error
	for _, p := range e.Installed {
		if p.Kind != kind {
			continue
		}
		if d := levenshtein.Distance(name, p.Name, nil); d < best {
			best, e.Suggestion = d, p.Name
		}
	}
	return e
}

// Installed lists the plugin files of all directories. Of two with the same kind and name the first counts.
func (h *Host) Installed() []Installed {
	var out []Installed
	seen := map[string]bool{}
	for _, dir := range h.cfg.Dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // Find names the directories it searched
		}
		for _, e := range entries {
			p, ok := installed(dir, e.Name())
			if ok && !seen[e.Name()] {
				seen[e.Name()] = true
				out = append(out, p)
			}
		}
	}
	return out
}

func installed(dir, file string) (Installed, bool) {
	rest, ok := strings.CutPrefix(file, filePrefix)
	if !ok {
		return Installed{}, false
	}
	kind, name, ok := strings.Cut(rest, "-")
	if !ok || checkName(kind, name) != nil {
		return Installed{}, false
	}
	path := filepath.Join(dir, file)
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
		return Installed{}, false
	}
	return Installed{Kind: kind, Name: name, Path: path, Size: info.Size(), Modified: info.ModTime()}, true
}

// fileID tells whether a file is still the one that was read.
type fileID struct {
	dev, ino uint64
	size     int64
	modified time.Time
}

func identify(path string) (fileID, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileID{}, fmt.Errorf("pluginhost: %w", err)
	}
	return identity(path, info)
}

func identity(path string, info os.FileInfo) (fileID, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, fmt.Errorf("pluginhost: %s: no file identity", path)
	}
	return fileID{dev: st.Dev, ino: st.Ino, size: info.Size(), modified: info.ModTime().Round(0).UTC()}, nil
}
