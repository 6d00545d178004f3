package pluginhost

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/cgroup"
	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// isEnd tells the end of a directory from an error.
func isEnd(err error) bool { return errors.Is(err, io.EOF) }

// refuse says why a component may not run on this machine, or nil. Control groups bound, they do not confine: what is
// missing of them is named elsewhere and is no reason.
func (h *Host) refuse(kind, name, component string) error {
	g := h.prepared()
	if reason, missing := g.missing[sandbox.Filter]; missing {
		return &StartError{Kind: kind, Name: name, Reason: "it would run without " + sandbox.Filter + ", which nothing can stand in for", Err: errors.New(reason)}
	}
	for _, layer := range []string{sandbox.ResourceLimits, sandbox.NoPrivileges} {
		if reason, missing := g.missing[layer]; missing {
			return &StartError{Kind: kind, Name: name, Reason: "it would run without " + layer, Err: errors.New(reason)}
		}
	}
	without := g.without()
	exempt := h.cfg.Sandbox.Exempt
	if len(without) == 0 || (exempt != nil && exempt(component)) {
		return nil
	}
	first := without[0]
	return &StartError{
		Kind: kind, Name: name, Reason: "it would run without " + strings.Join(without, ", "),
		Err: fmt.Errorf("%s: %s: %s, or accept less by %s", first, g.missing[first], remedy(first), exception(kind, component)),
	}
}

// remedy says what to change on the machine.
func remedy(layer string) string {
	switch layer {
	case sandbox.Landlock:
		return "boot a kernel that has it (Linux 5.13, lsm= with landlock)"
	case sandbox.EmptyRoot:
		return "run as root with all its capabilities, allow mounts in user namespaces"
	default:
		return "run as root, allow them"
	}
}

// exception shows what to write.
func exception(kind, component string) string {
	on := kind + "." + component
	if component == "" {
		on = "node.NAME"
	}
	return fmt.Sprintf(`exception "…" { allows = "degraded_sandbox"  on = %s … }`, on)
}

// sandboxFor gathers what the shim of a process is told: its own socket directory, what its program is linked with,
// and what it is granted.
func (p *process) sandboxFor(grants []sandbox.Path) (*sandbox.Spec, error) {
	g := p.host.prepared()
	dir, err := p.socketDir()
	if err != nil {
		return nil, err
	}
	if g.otherUser() {
		if err := os.Lchown(dir, g.identity.uid, g.identity.gid); err != nil {
			return nil, fmt.Errorf("socket directory: %w", err)
		}
	}
	paths := []sandbox.Path{{Source: dir, Target: dir, Use: sandbox.Sockets}}
	paths = append(append(paths, p.image.libraries...), grants...)
	return g.spec(p.name, paths, p.host.cfg.Sandbox.Limits.withDefaults()), nil
}

// socketDir is the directory that go-plugin has made for this process alone.
func (p *process) socketDir() (string, error) {
	const key = "PLUGIN_UNIX_SOCKET_DIR="
	for _, v := range p.env {
		dir, ok := strings.CutPrefix(v, key)
		if ok && strings.HasPrefix(dir, p.host.cfg.RuntimeDir+"/") {
			return filepath.Clean(dir), nil
		}
	}
	return "", errors.New("no socket directory")
}

// join puts the started process into its control group. A group that cannot be had is said and is no error.
func (p *process) join() {
	g := p.host.prepared()
	if g.parent == nil {
		return
	}
	group, err := g.parent.New(p.component, cgroupLimits(p.host.cfg.Sandbox.Limits.withDefaults()))
	if err == nil {
		if err = group.Add(p.pid); err != nil {
			err = errors.Join(err, group.Close())
		}
	}
	if err != nil {
		p.ungrouped = err.Error()
		p.host.cfg.Log.Warn("plugin runs without limits of a control group", "component", p.component, "error", err)
		return
	}
	p.group = group
}

// leave removes the group of a process that has ended.
func (p *process) leave() {
	if p.group == nil {
		return
	}
	if err := p.group.Close(); err != nil {
		p.host.cfg.Log.Warn("control group of a plugin that has ended", "component", p.component, "error", err)
	}
}

// destroy kills the process and all that came from it: as the first of its pid namespace it takes the others along,
// a control group of version 2 kills at once, and what is left is in its process group. Called under the lock.
func (p *process) destroy() {
	if p.group != nil {
		p.group.Kill()
	}
	_ = unix.Kill(-p.pid, unix.SIGKILL)
}

func cgroupLimits(l Limits) cgroup.Limits {
	return cgroup.Limits{Memory: l.Memory, PIDs: l.PIDs, CPU: l.CPU}
}
