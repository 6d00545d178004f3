package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// onlyRootWrites reports whether nobody but root can change the configuration in a directory: it, its files, and every
// directory above them. A sticky directory above, as /tmp is, lets nobody replace what others have made in it.
func onlyRootWrites(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if err := onlyRootReplaces(dir); err != nil {
		return err
	}
	for _, f := range files {
		if name := f.Name(); strings.HasPrefix(name, ".") || filepath.Ext(strings.TrimSuffix(name, ".json")) != ".hcl" {
			continue // nobody reads it
		}
		if err := onlyRootReplaces(filepath.Join(dir, f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// onlyRootReplaces looks at what a path leads to, and at every directory above that.
func onlyRootReplaces(path string) error {
	path, err := filepath.Abs(path)
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return err
	}
	if err := ownedByRoot(path, false); err != nil {
		return err
	}
	for path != filepath.Dir(path) {
		path = filepath.Dir(path)
		if err := ownedByRoot(path, true); err != nil {
			return err
		}
	}
	return nil
}

// ownedByRoot reports whether only root writes to one file or directory.
func ownedByRoot(path string, stickyServes bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return fmt.Errorf("%s: its owner cannot be read", path)
	case st.Uid != 0:
		return fmt.Errorf("%s belongs to user %d: chown root", path, st.Uid)
	case stickyServes && info.Mode()&fs.ModeSticky != 0:
		return nil
	case info.Mode()&0o002 != 0 || info.Mode()&0o020 != 0 && st.Gid != 0:
		return fmt.Errorf("%s is writable by others (%s): chmod go-w", path, info.Mode())
	}
	return nil
}
