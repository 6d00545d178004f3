package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// system is what the kernel says of this process; tests write their own.
type system struct {
	mounts []mount
	own    map[string]string // group by controller; "" is version 2
	pid    int
}

// prefix of the directory that holds the groups of one gateway.
const prefix = "sluice-"

// Find looks for a place where this process may make groups, or uses dir where it is named: a directory of version 2,
// or of any controller of version 1, which stands for the same path below all of them. The error says why there is
// none; a place with some of the controllers has the others in Missing.
func Find(dir string) (*Parent, error) {
	sys, err := readSystem()
	if err != nil {
		return nil, err
	}
	return sys.find(dir)
}

func (sys *system) find(dir string) (*Parent, error) {
	p := &Parent{}
	reasons := map[string]string{}
	for _, c := range []string{memory, pids, cpu} {
		at, err := sys.place(c, dir)
		if err != nil {
			reasons[c] = err.Error()
			continue
		}
		p.take(at)
	}
	for _, c := range []string{memory, pids, cpu} {
		if r, ok := reasons[c]; ok {
			p.missing = append(p.missing, c+": "+r)
		}
	}
	if len(p.places) == 0 {
		return nil, fmt.Errorf("cgroup: no controller is to be had here: %s", strings.Join(p.missing, "; "))
	}
	for i := range p.places {
		if err := p.places[i].settle(sys.pid); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// take adds a place; controllers that lie together have one.
func (p *Parent) take(at place) {
	for i := range p.places {
		if p.places[i].dir == at.dir {
			p.places[i].controllers = append(p.places[i].controllers, at.controllers...)
			return
		}
	}
	p.places = append(p.places, at)
}

// place finds the directory in which groups of a controller can be made.
func (sys *system) place(controller, dir string) (place, error) {
	m, ok := sys.mountOf(controller)
	if !ok {
		return place{}, errors.New("the kernel does not have it, or it is not mounted")
	}
	if dir != "" {
		return sys.named(m, controller, dir)
	}
	own, err := m.dirOf(sys.own[m.key(controller)])
	if err != nil {
		return place{}, err
	}
	if m.version == 2 {
		own, err = sys.delegated(m, own, controller)
	} else if !writable(own) {
		err = fmt.Errorf("%s is not ours to write", own)
	}
	return place{dir: own, version: m.version, controllers: []string{controller}}, err
}

// named maps the operator's directory into a controller's hierarchy.
func (sys *system) named(m mount, controller, dir string) (place, error) {
	for _, other := range sys.mounts {
		rest, ok := strings.CutPrefix(filepath.Clean(dir)+"/", other.point+"/")
		if !ok {
			continue
		}
		at := filepath.Join(m.point, rest)
		if m.version == 2 && !enabled(at, controller) {
			return place{}, fmt.Errorf("it is not enabled in %s/cgroup.subtree_control", at)
		}
		if !writable(at) {
			return place{}, fmt.Errorf("%s is not ours to write, or not there", at)
		}
		return place{dir: at, version: m.version, controllers: []string{controller}}, nil
	}
	return place{}, fmt.Errorf("%s lies in no hierarchy of control groups", dir)
}

// delegated finds a directory of version 2 whose children have the controller: the own one, or, as that may have no
// processes, the nearest above it that is ours.
func (sys *system) delegated(m mount, own, controller string) (string, error) {
	if enabled(own, controller) && writable(own) {
		return own, nil
	}
	if isDelegated(own) && sys.stepDown(own, controller) == nil {
		return own, nil
	}
	for dir := filepath.Dir(own); len(dir) >= len(m.point) && writable(dir); dir = filepath.Dir(dir) {
		if enabled(dir, controller) {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s is not delegated to this process (in a systemd unit: Delegate=yes)", own)
}

// stepDown moves this process, when it is alone in its group, into a group below, and enables the controller.
func (sys *system) stepDown(own, controller string) error {
	raw, err := os.ReadFile(filepath.Join(own, "cgroup.procs"))
	if err != nil {
		return err
	}
	alone := strings.TrimSpace(string(raw))
	if alone != "" && alone != strconv.Itoa(sys.pid) {
		return errors.New("other processes live there")
	}
	if alone != "" {
		core := filepath.Join(own, "core")
		if err := os.Mkdir(core, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
		if err := write(filepath.Join(core, "cgroup.procs"), alone); err != nil {
			return err
		}
	}
	return write(filepath.Join(own, "cgroup.subtree_control"), "+"+controller)
}

// isDelegated tells whether a group was given to this process's user: systemd marks it, or it belongs to the user.
func isDelegated(dir string) bool {
	for _, mark := range []string{"user.delegate", "trusted.delegate"} {
		var value [1]byte
		if n, err := unix.Getxattr(dir, mark, value[:]); err == nil && n == 1 && value[0] == '1' {
			return true
		}
	}
	var st unix.Stat_t
	return unix.Stat(dir, &st) == nil && st.Uid != 0 && int(st.Uid) == os.Geteuid()
}

// enabled tells whether the children of a group of version 2 have a controller.
func enabled(dir, controller string) bool {
	raw, err := os.ReadFile(filepath.Join(dir, "cgroup.subtree_control"))
	return err == nil && slices.Contains(strings.Fields(string(raw)), controller)
}

func writable(dir string) bool { return unix.Access(dir, unix.W_OK|unix.X_OK) == nil }

// settle makes the gateway's own directory at a place and removes what gateways that are dead have left there.
func (at *place) settle(pid int) error {
	left, _ := filepath.Glob(filepath.Join(at.dir, prefix+"*")) // the pattern is good
	for _, dir := range left {
		n, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(dir), prefix))
		if err != nil || n == pid || !errors.Is(unix.Kill(n, 0), unix.ESRCH) {
			continue
		}
		removeTree(dir)
	}
	dir := filepath.Join(at.dir, prefix+strconv.Itoa(pid))
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("cgroup: %w", err)
	}
	at.dir = dir
	if at.version == 1 {
		return nil
	}
	for _, c := range at.controllers {
		if err := write(filepath.Join(dir, "cgroup.subtree_control"), "+"+c); err != nil {
			return err
		}
	}
	return nil
}

// removeTree removes a directory with the groups in it, as far as they are empty.
func removeTree(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			_ = os.Remove(filepath.Join(dir, e.Name())) // one with processes stays
		}
	}
	_ = os.Remove(dir)
}
