package pluginhost

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// forbidden says why a path is never given away: it is the kernel's, holds the sockets of other plugins, or contains
// what is. Of the machine's configuration single files and directories may be read, such as certificates.
func (h *Host) forbidden(g Grant) error {
	kernels := []string{"/proc", "/sys", "/dev", h.cfg.RuntimeDir}
	for _, dir := range kernels {
		if within(g.Path, dir) {
			return fmt.Errorf("%s: nothing below %s is given to plugins: copy what is needed elsewhere", g.Path, dir)
		}
		if within(dir, g.Path) {
			return fmt.Errorf("%s: it contains %s, which is not given to plugins: choose a directory below", g.Path, dir)
		}
	}
	if g.Path == "/etc" || (g.Write && within(g.Path, "/etc")) {
		return fmt.Errorf("%s: the machine's configuration is not given to plugins as a whole, nor to write to: choose another directory", g.Path)
	}
	return nil
}

// within tells whether a path is a directory or below it.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// prepareGrants checks what a plugin is given and makes directories to write that are missing. The order is such that
// a directory comes before what lies in it.
func (h *Host) prepareGrants(to *ground, grants []Grant) ([]sandbox.Path, error) {
	grants = slices.Clone(grants)
	slices.SortFunc(grants, func(a, b Grant) int { return strings.Compare(a.Path, b.Path) })
	var paths []sandbox.Path
	for _, g := range grants {
		p, err := h.prepareGrant(to, g)
		if err != nil {
			return nil, err
		}
		if n := len(paths); n > 0 && paths[n-1].Target == p.Target {
			if p.Use == sandbox.Write {
				paths[n-1].Use = sandbox.Write
			}
			continue
		}
		paths = append(paths, p)
	}
	return paths, nil
}

func (h *Host) prepareGrant(to *ground, g Grant) (sandbox.Path, error) {
	p := sandbox.Path{Source: g.Path, Target: g.Path, Use: sandbox.Read}
	if !filepath.IsAbs(g.Path) || filepath.Clean(g.Path) != g.Path || strings.ContainsRune(g.Path, 0) {
		return p, fmt.Errorf("%q: not an absolute path in its shortest form", g.Path)
	}
	if err := h.forbidden(g); err != nil {
		return p, err
	}
	if !g.Write {
		return p, inspect(g.Path, func(*os.File, unix.Stat_t) error { return nil })
	}
	p.Use = sandbox.Write
	err := inspect(g.Path, to.prepareWritable)
	if errors.Is(err, os.ErrNotExist) {
		err = to.makeWritable(g.Path)
	}
	return p, err
}

// inspect opens a path, on the way to which no symbolic link is followed, and shows what it is.
func inspect(path string, show func(*os.File, unix.Stat_t) error) error {
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if errors.Is(err, unix.ELOOP) {
		return fmt.Errorf("%s: a symbolic link is in it: write the path that it leads to", path)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close() //nolint:errcheck // only read
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFREG && kind != unix.S_IFDIR {
		return fmt.Errorf("%s: neither a file nor a directory", path)
	}
	return show(f, st)
}

// prepareWritable gives an empty directory to the plugins' user; one with content it must be able to write to.
func (g *ground) prepareWritable(dir *os.File, st unix.Stat_t) error {
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s: to write takes a directory, this is a file: allow its directory", dir.Name())
	}
	if !g.otherUser() || writableBy(st, g.identity.uid, g.identity.gid) {
		return nil
	}
	names, err := dir.Readdirnames(1)
	if len(names) > 0 {
		return fmt.Errorf("%s: plugins run as user %d, who cannot write to it, and it is not empty: chown -R %d:%d %s, or choose another directory",
			dir.Name(), g.identity.uid, g.identity.uid, g.identity.gid, dir.Name())
	}
	if !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", dir.Name(), err)
	}
	return g.giveAway(dir)
}

// giveAway makes an open directory the plugins' user's.
func (g *ground) giveAway(dir *os.File) error {
	if !g.otherUser() {
		return nil
	}
	if err := dir.Chown(g.identity.uid, g.identity.gid); err != nil {
		return fmt.Errorf("%s: give it to the plugins' user: %w", dir.Name(), err)
	}
	return nil
}

// writableBy tells whether the mode lets a user make files in a directory. Access lists are not looked at: the shim
// asks the kernel in the end.
func writableBy(st unix.Stat_t, uid, gid int) bool {
	const need = 0o3 // write and search
	switch {
	case int(st.Uid) == uid:
		return st.Mode>>6&need == need
	case int(st.Gid) == gid:
		return st.Mode>>3&need == need
	default:
		return st.Mode&need == need
	}
}

// makeWritable makes a directory and what is missing above it. What is above stays the gateway's.
func (g *ground) makeWritable(path string) error {
	missing := []string{path}
	for dir := filepath.Dir(path); dir != "/"; dir = filepath.Dir(dir) {
		err := inspect(dir, func(*os.File, unix.Stat_t) error { return nil })
		if err == nil {
			break
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		missing = append(missing, dir)
	}
	for _, dir := range slices.Backward(missing) {
		if err := makeDir(dir); err != nil {
			return err
		}
	}
	return inspect(path, func(dir *os.File, _ unix.Stat_t) error { return g.giveAway(dir) })
}

// makeDir makes one directory in one that exists and is no symbolic link now.
func makeDir(path string) error {
	return inspect(filepath.Dir(path), func(dir *os.File, _ unix.Stat_t) error {
		err := unix.Mkdirat(int(dir.Fd()), filepath.Base(path), 0o750)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("%s: make it: %w", path, err)
		}
		return nil
	})
}
