package pluginhost

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

const (
	maxLibraries = 64      // of one program; a Go program with cgo has three
	maxInterp    = 4 << 10 // bytes of a path
)

// libraries lists the files that a dynamically linked program needs, each at the path where the system's loader looks
// for it: the loader and, transitively, what it loads. A static program, which a plugin should be, needs none.
func libraries(program io.ReaderAt) ([]sandbox.Path, error) {
	f, err := elf.NewFile(program)
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	loader, err := interpreter(f)
	if err != nil || loader == "" {
		return nil, err
	}
	l := &linked{dirs: libraryDirs(f.Machine)}
	if err := l.add(loader); err != nil {
		return nil, err
	}
	if err := l.addNeeded(f); err != nil {
		return nil, err
	}
	return l.paths, nil
}

// interpreter returns the loader that the program names (elf(5), PT_INTERP), or "".
func interpreter(f *elf.File) (string, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > maxInterp {
			return "", errors.New("the name of its loader is too long")
		}
		name := make([]byte, p.Filesz)
		if _, err := p.ReadAt(name, 0); err != nil {
			return "", fmt.Errorf("name of its loader: %w", err)
		}
		loader := strings.TrimRight(string(name), "\x00")
		if !filepath.IsAbs(loader) || filepath.Clean(loader) != loader {
			return "", fmt.Errorf("its loader is %s: not an absolute path", excerpt(loader))
		}
		return loader, nil
	}
	return "", nil
}

// libraryDirs are where the loaders of Debian, Red Hat and musl look without a cache (ld.so(8)).
func libraryDirs(m elf.Machine) []string {
	triple := map[elf.Machine]string{elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu"}[m]
	return []string{"/lib/" + triple, "/usr/lib/" + triple, "/lib64", "/usr/lib64", "/lib", "/usr/lib"}
}

// linked gathers libraries.
type linked struct {
	dirs  []string
	paths []sandbox.Path
}

// add takes in a file of the system, whose own path may have symbolic links.
func (l *linked) add(path string) error {
	source, err := filepath.EvalSymlinks(path)
	if err != nil {
		return fmt.Errorf("it is linked with %s: %w", path, err)
	}
	if slices.ContainsFunc(l.paths, func(p sandbox.Path) bool { return p.Target == path }) {
		return nil
	}
	if len(l.paths) == maxLibraries {
		return fmt.Errorf("it is linked with more than %d libraries", maxLibraries)
	}
	l.paths = append(l.paths, sandbox.Path{Source: source, Target: path, Use: sandbox.Library})
	return nil
}

// addNeeded takes in what a program or library is linked with.
func (l *linked) addNeeded(f *elf.File) error {
	names, err := f.ImportedLibraries()
	if err != nil {
		return fmt.Errorf("what it is linked with: %w", err)
	}
	for _, name := range names {
		if err := l.addLibrary(name); err != nil {
			return err
		}
	}
	return nil
}

func (l *linked) addLibrary(name string) error {
	if name != filepath.Base(name) {
		return fmt.Errorf("it is linked with %s: only libraries of the system are there for plugins: build it static", excerpt(name))
	}
	if slices.ContainsFunc(l.paths, func(p sandbox.Path) bool { return filepath.Base(p.Target) == name }) {
		return nil
	}
	for _, dir := range l.dirs {
		path := filepath.Join(dir, name)
		f, err := elf.Open(path)
		if err != nil {
			continue
		}
		defer f.Close() //nolint:errcheck // only read
		if err := l.add(path); err != nil {
			return err
		}
		return l.addNeeded(f)
	}
	return fmt.Errorf("it is linked with %s, which is in none of %s: install it, or build the plugin static (CGO_ENABLED=0)",
		name, strings.Join(l.dirs, ", "))
}
