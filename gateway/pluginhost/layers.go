package pluginhost

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/cgroup"
	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
	"github.com/sluice-gateway/sluice/sdk/control"
)

const (
	cgroupLayer  = "control group limits"
	probeTimeout = 5 * time.Second // a probe takes 20 ms here
)

// ground is what this machine has for a sandbox, as it was found out by trying. It does not change once it is made.
type ground struct {
	identity runAs
	landlock int               // version
	missing  map[string]string // reason by layer
	parent   *cgroup.Parent    // nil = none
	cgroups  []string          // what of the control groups is missing
	tried    time.Time
}

// grounds holds the newest one.
type grounds struct {
	withhold map[string]string // set by tests before use: layers that are to be missing, with a reason

	mu     sync.Mutex // guards what follows; held while one is made
	newest *ground
}

// retryMissing is how long a layer that was missing is taken to be so: limits may be raised, or load may go.
const retryMissing = time.Minute

// Layers says which barriers this machine has for plugins, and why it lacks the others. The first call tries them, in
// a process that lives only for it, for some 20 ms.
func (h *Host) Layers() []Layer {
	g, err := h.prepared()
	if err != nil {
		g = &ground{missing: map[string]string{}, cgroups: []string{err.Error()}}
		for _, name := range sandbox.Layers() {
			g.missing[name] = err.Error()
		}
	}
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

// prepared returns what the machine has, trying it when nobody has yet, or when something was missing a while ago.
func (h *Host) prepared() (*ground, error) {
	s := &h.grounds
	s.mu.Lock()
	defer s.mu.Unlock()
	if g := s.newest; g != nil && (h.cfg.Unconfined || len(g.missing) == 0 || time.Since(g.tried) < retryMissing) {
		return g, nil
	}
	g := &ground{identity: whoRuns(h.cfg.Sandbox), missing: map[string]string{}}
	if h.cfg.Unconfined {
		s.newest = g.open()
		return g, nil
	}
	for layer, reason := range s.withhold {
		g.lose(layer, reason)
	}
	if err := g.tryAll(h); err != nil {
		return nil, err
	}
	if s.newest != nil { // groups do not come and go
		g.parent, g.cgroups = s.newest.parent, s.newest.cgroups
	} else {
		g.findGroups(h.cfg.Sandbox, s.withhold[cgroupLayer])
	}
	g.tried = time.Now()
	s.newest = g
	return g, nil
}

// tryAll tries with fewer layers until a process can be confined by all that are left. Without the last one nothing
// is worth trying.
func (g *ground) tryAll(h *Host) error {
	for g.has(sandbox.Filter) {
		report, err := g.try(h)
		if err != nil {
			return err
		}
		g.landlock = report.Landlock
		if report.Layer == "" {
			return nil
		}
		if !g.has(report.Layer) { // it says the same again: this machine has no sandbox at all
			report.Layer = sandbox.Filter
		}
		g.lose(report.Layer, report.Reason)
	}
	return nil
}

// lose notes that a layer is missing, and those that stand on it.
func (g *ground) lose(layer, reason string) {
	g.missing[layer] = reason
	if layer == sandbox.Namespaces {
		g.missing[sandbox.EmptyRoot] = "needs namespaces"
	}
}

// try starts a shim that confines itself as a plugin would be, and reports. The error is about the trial, not about
// the machine.
func (g *ground) try(h *Host) (sandbox.Report, error) {
	var report sandbox.Report
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	ours, theirs, err := control.Pair()
	if err != nil {
		return report, fmt.Errorf("pluginhost: try the sandbox: %w", err)
	}
	defer ours.Close()   //nolint:errcheck // its end says that we live
	defer theirs.Close() //nolint:errcheck // the child has its own
	var out, words bytes.Buffer
	cmd := exec.CommandContext(ctx, h.cfg.Shim[0], h.cfg.Shim[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/", []string{}, &out, &words
	cmd.SysProcAttr = g.attributes()
	send, err := order(cmd, theirs, theirs)
	if err != nil {
		return report, fmt.Errorf("pluginhost: try the sandbox: %w", err)
	}
	if err := h.startOnThread(cmd); err != nil {
		send.drop()
		if reason := whyNoNamespaces(err); reason != "" && g.has(sandbox.Namespaces) {
			return sandbox.Report{Layer: sandbox.Namespaces, Reason: reason}, nil
		}
		return report, fmt.Errorf("pluginhost: try the sandbox: %w", err)
	}
	defer send.drop()
	paths := []sandbox.Path{{Target: sandbox.SocketDir, Use: sandbox.Sockets}}
	if !g.has(sandbox.EmptyRoot) {
		paths = nil
	}
	spec := g.spec("probe", paths, Limits{}.withDefaults())
	spec.Probe = true
	err = errors.Join(send.spec(spec), cmd.Wait())
	if jerr := json.Unmarshal(out.Bytes(), &report); jerr != nil || (err != nil && report.Layer == "") {
		return report, fmt.Errorf("pluginhost: try the sandbox: %w: %s%q", errors.Join(err, jerr), report.Reason, words.String())
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
	pids := uint64(l.PIDs)
	switch {
	case !g.identity.root && g.has(sandbox.Namespaces):
		s.Processes = pids // counted per user namespace (Linux 5.14)
	case g.otherUser():
		s.Processes = pids * sharedPIDs
	}
	return s
}

// findGroups looks for a place for control groups, unless a reason says that there is none.
func (g *ground) findGroups(cfg Sandbox, withheld string) {
	if withheld != "" {
		g.cgroups = []string{withheld}
		return
	}
	parent, err := cgroup.Find(cfg.Cgroup)
	if err != nil {
		g.cgroups = []string{err.Error()}
		return
	}
	g.parent, g.cgroups = parent, parent.Missing()
	if cfg.Limits.CPU == 0 {
		g.cgroups = slices.DeleteFunc(slices.Clone(g.cgroups), func(s string) bool { return strings.HasPrefix(s, "cpu: ") })
	}
}

// close gives back what was made.
func (s *grounds) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.newest != nil && s.newest.parent != nil {
		s.newest.parent.Close()
	}
}
