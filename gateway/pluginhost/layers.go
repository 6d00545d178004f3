package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/cgroup"
	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
	"github.com/sluice-gateway/sluice/sdk/control"
)

const (
	cgroupLayer  = "control group limits"
	probeTimeout = 5 * time.Second // a probe takes 20 ms here
)

// ground is what this machine has for a sandbox. It is found out once, by trying.
type ground struct {
	once     sync.Once
	identity runAs
	landlock int               // version
	missing  map[string]string // reason by layer
	parent   *cgroup.Parent    // nil = none
	cgroups  []string          // what of the control groups is missing
	withhold map[string]string // by tests: layers to be missing, with a reason
}

// Layers says which barriers this machine has for plugins, and why it lacks the others. The first call tries them, in
// a process that lives only for it.
func (h *Host) Layers() []Layer {
	g := h.prepared()
	out := make([]Layer, 0, len(sandbox.Layers())+1)
	for _, name := range sandbox.Layers() {
		reason, missing := g.missing[name]
		if !missing {
			reason = g.fact(name)
		}
		out = append(out, Layer{Name: name, OK: !missing, Reason: reason})
	}
	return append(out, Layer{Name: cgroupLayer, OK: len(g.cgroups) == 0, Reason: strings.Join(g.cgroups, "; ")})
}

// fact is what is worth saying of a layer that is there.
func (g *ground) fact(layer string) string {
	switch layer {
	case sandbox.Namespaces:
		if !g.identity.root {
			return "in a user namespace"
		}
	case sandbox.NoPrivileges:
		if !g.otherUser() {
			return ownUser
		}
		return fmt.Sprintf("user %d, group %d", g.identity.uid, g.identity.gid)
	case sandbox.Landlock:
		return fmt.Sprintf("version %d", g.landlock)
	}
	return ""
}

const ownUser = "runs as the gateway's own user (no second one without root)"

// otherUser tells whether plugins run as another user than the gateway. Without an empty root it could not reach its
// socket, which lies below directories that are the gateway's alone.
func (g *ground) otherUser() bool { return g.identity.root && g.has(sandbox.EmptyRoot) }

func (g *ground) has(layer string) bool {
	_, missing := g.missing[layer]
	return !missing
}

// without lists the layers that are missing, in their order.
func (g *ground) without() []string {
	return slices.DeleteFunc(sandbox.Layers(), g.has)
}

// prepared returns what the machine has, trying it when nobody has yet.
func (h *Host) prepared() *ground {
	h.ground.once.Do(func() { h.ground.prepare(h) })
	return &h.ground
}

func (g *ground) prepare(h *Host) {
	g.identity = whoRuns(h.cfg.Sandbox)
	g.missing = map[string]string{}
	for layer, reason := range g.withhold {
		g.lose(layer, reason)
	}
	for range sandbox.Layers() { // each try loses one
		report, err := g.try(h)
		g.landlock = report.Landlock
		if err == nil && report.Layer == "" {
			break
		}
		if err != nil {
			report.Layer, report.Reason = sandbox.Namespaces, err.Error()
		}
		if !g.has(report.Layer) { // the same again: no sandbox at all
			report.Layer = sandbox.Filter
		}
		g.lose(report.Layer, report.Reason)
	}
	g.findGroups(h)
}

// lose notes that a layer is missing, and those that stand on it.
func (g *ground) lose(layer, reason string) {
	g.missing[layer] = reason
	if layer == sandbox.Namespaces {
		g.missing[sandbox.EmptyRoot] = "needs namespaces"
	}
}

// try starts a shim that confines itself as a plugin would be, and reports.
func (g *ground) try(h *Host) (sandbox.Report, error) {
	var report sandbox.Report
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	ours, theirs, err := control.Pair()
	if err != nil {
		return report, err
	}
	defer ours.Close()   //nolint:errcheck // its end says that we live
	defer theirs.Close() //nolint:errcheck // the child has its own
	var out, words bytes.Buffer
	cmd := exec.CommandContext(ctx, h.cfg.Shim[0], h.cfg.Shim[1:]...) //nolint:gosec // our own program
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", []string{}, &out, &words
	cmd.SysProcAttr = g.attributes()
	spec := g.spec("probe", nil, Limits{}.withDefaults())
	spec.Probe = true
	send, err := order(cmd, theirs, theirs)
	if err != nil {
		return report, err
	}
	if err := h.startOnThread(cmd); err != nil {
		send.drop()
		if errors.Is(err, ErrClosed) {
			return report, err
		}
		return report, errors.New(whyNoNamespaces(err))
	}
	if err := send.spec(spec); err != nil {
		return report, errors.Join(err, cmd.Wait())
	}
	err = cmd.Wait()
	if jerr := json.Unmarshal(out.Bytes(), &report); jerr != nil {
		return report, fmt.Errorf("the shim did not report: %w: %q", errors.Join(err, jerr), words.String())
	}
	if report.Reason != "" && report.Layer == "" {
		return report, errors.New(report.Reason)
	}
	return report, nil
}

// attributes are those of every process that becomes a plugin.
func (g *ground) attributes() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if g.has(sandbox.Namespaces) {
		g.identity.namespaces(attr)
	}
	return attr
}

// spec is what the shim is told.
func (g *ground) spec(name string, paths []sandbox.Path, l Limits) *sandbox.Spec {
	s := &sandbox.Spec{
		Name: name, Without: g.without(), UID: sandbox.Stay, GID: sandbox.Stay, Paths: paths,
	}
	if g.otherUser() {
		s.UID, s.GID = g.identity.uid, g.identity.gid
	}
	pids := uint64(l.PIDs) //nolint:gosec // not negative
	switch {
	case !g.identity.root && g.has(sandbox.Namespaces):
		s.Processes = pids // counted per user namespace (Linux 5.14)
	case g.otherUser():
		s.Processes = pids * sharedPIDs
	}
	return s
}

// findGroups looks for a place for control groups.
func (g *ground) findGroups(h *Host) {
	if reason, ok := g.withhold[cgroupLayer]; ok {
		g.cgroups = []string{reason}
		return
	}
	parent, err := cgroup.Find(h.cfg.Sandbox.Cgroup)
	if err != nil {
		g.cgroups = []string{err.Error()}
		return
	}
	g.parent, g.cgroups = parent, parent.Missing()
	if h.cfg.Sandbox.Limits.CPU == 0 {
		g.cgroups = slices.DeleteFunc(g.cgroups, func(s string) bool { return strings.HasPrefix(s, "cpu: ") })
	}
}

// close gives back what was made.
func (g *ground) close() {
	if g.parent != nil {
		g.parent.Close()
	}
}

// whyNoNamespaces finds the words for a process that could not be started in namespaces.
func whyNoNamespaces(err error) string {
	for _, k := range []struct{ file, value, name string }{
		{"/proc/sys/user/max_user_namespaces", "0", "user.max_user_namespaces = 0"},
		{"/proc/sys/kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone = 0"},
		{"/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "kernel.apparmor_restrict_unprivileged_userns = 1"},
	} {
		raw, rerr := os.ReadFile(k.file)
		if rerr == nil && strings.TrimSpace(string(raw)) == k.value {
			return "user namespaces are forbidden here (" + k.name + ")"
		}
	}
	switch {
	case errors.Is(err, unix.EPERM) && os.Geteuid() == 0:
		return fmt.Sprintf("user 0 without its capabilities, or in a container that filters them, may not make them (%v)", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Sprintf("user namespaces are forbidden here, by the kernel's build or a container's filter (%v)", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return fmt.Sprintf("the limit of namespaces is reached (%v): see /proc/sys/user", err)
	default:
		return err.Error()
	}
}
