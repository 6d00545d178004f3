package cgroup

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Controllers that limits need.
const (
	memory = "memory"
	pids   = "pids"
	cpu    = "cpu"
)

// Limits of one Group. Zero means no limit.
type Limits struct {
	Memory int64   // bytes, with all that is mapped and swapped
	PIDs   int     // processes and threads
	CPU    float64 // processors; 0.5 is half of one
}

// Parent is where Groups are made. Its methods may be called concurrently.
type Parent struct {
	places  []place
	missing []string
}

// place is one directory of a hierarchy that is ours.
type place struct {
	dir         string
	version     int
	controllers []string
}

// Missing names the controllers that are not to be had here, each with the reason; nil when all are.
func (p *Parent) Missing() []string { return p.missing }

// Group holds one process and what comes from it.
type Group struct {
	dirs   []string
	killer string // cgroup.kill of version 2, or ""
}

// New makes a group. The name may be anything: what does not fit a directory's name is replaced.
func (p *Parent) New(name string, l Limits) (*Group, error) {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	name = clean(name) + "-" + hex.EncodeToString(random[:])
	g := &Group{}
	for _, at := range p.places {
		if at.version == 1 && len(settings(at, l)) == 0 {
			continue // to be in a group without a limit is not free: the scheduler weighs it apart
		}
		if err := g.add(at, name, l); err != nil {
			return nil, errors.Join(err, g.Close())
		}
	}
	return g, nil
}

// clean keeps a name from leading elsewhere or meaning a file of the kernel's.
func clean(name string) string {
	const most = 100 // bytes; a directory's name has at most 255
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", r) {
			return r
		}
		return '_'
	}, name)
	return name[:min(len(name), most)]
}

func (g *Group) add(at place, name string, l Limits) error {
	dir := filepath.Join(at.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	g.dirs = append(g.dirs, dir)
	for _, s := range settings(at, l) {
		err := write(filepath.Join(dir, s.file), s.value)
		if err != nil && (!s.optional || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	if at.version == 2 {
		g.killer = filepath.Join(dir, "cgroup.kill")
	}
	return nil
}

// Add moves a process into the group.
func (g *Group) Add(pid int) error {
	for _, dir := range g.dirs {
		if err := write(filepath.Join(dir, "cgroup.procs"), strconv.Itoa(pid)); err != nil {
			return err
		}
	}
	return nil
}

// Kill kills all processes of the group where the kernel can do so at once (version 2, Linux 5.14); elsewhere it does
// nothing and says false.
func (g *Group) Kill() bool { return g.killer != "" && write(g.killer, "1") == nil }

// Close removes the group. Its processes must have ended.
func (g *Group) Close() error {
	var errs []error
	for _, dir := range slices.Backward(g.dirs) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("cgroup: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Close removes the directories that Find made, as far as they are empty.
func (p *Parent) Close() {
	for _, at := range p.places {
		_ = os.Remove(at.dir) // another user of the same process may have groups in it
	}
}

// write writes to a file of the kernel's; it never makes one.
func write(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	_, err = f.WriteString(value)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	return nil
}
