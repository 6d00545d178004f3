package pluginhost

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/cgroup"
	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// sandboxFor gathers what the shim of a process is told: its own socket directory, what its program is linked with,
// and what it is granted.
func (p *process) sandboxFor(grants []sandbox.Path) (*sandbox.Spec, error) {
	g := p.ground
	own := sandbox.Path{Target: sandbox.SocketDir, Use: sandbox.Sockets}
	if !g.has(sandbox.EmptyRoot) {
		dir, err := p.socketDir()
		if err != nil {
			return nil, err
		}
		own = sandbox.Path{Source: dir, Target: dir, Use: sandbox.Sockets}
	}
	libs, err := libraries(p.image.file) // now, as an update of the system may have moved them
	if err != nil {
		return nil, err
	}
	p.libraries = libs
	return g.spec(p.name, slices.Concat([]sandbox.Path{own}, libs, grants), p.host.cfg.Sandbox.Limits.withDefaults()), nil
}

// environment is what go-plugin wants it to be, with the socket's directory as the plugin sees it and the limits.
func (p *process) environment() []string {
	env := slices.Clone(p.env)
	for i, v := range env {
		if strings.HasPrefix(v, socketDirKey) && p.ground.has(sandbox.EmptyRoot) {
			env[i] = socketDirKey + sandbox.SocketDir
		}
	}
	return append(env, p.host.cfg.Sandbox.Limits.withDefaults().environment()...)
}

// socketDirKey is go-plugin's.
const socketDirKey = "PLUGIN_UNIX_SOCKET_DIR="

// socketDir is the directory that go-plugin has made for this process alone.
func (p *process) socketDir() (string, error) {
	for _, v := range p.env {
		dir, ok := strings.CutPrefix(v, socketDirKey)
		if ok && strings.HasPrefix(dir, p.host.cfg.RuntimeDir+"/") {
			return filepath.Clean(dir), nil
		}
	}
	return "", errors.New("no socket directory")
}

// join puts the started process into its control group. A group that cannot be had is said and is no error.
func (p *process) join() {
	g := p.ground
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
