package pluginhost

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// confinement says what holds the process in. What the kernel tells of it is read back and listed only when it is so;
// the rest follows from how the process was made, or it would not run: the shim refuses to execute without it.
func (i *Instance) confinement() []string {
	p, g := i.process, i.process.ground
	out := []string{"environment of its own", "sealed program", "dies with the gateway"}
	if group, err := unix.Getpgid(i.PID()); err == nil && group == i.PID() {
		out = append(out, "process group of its own")
	}
	out = append(out, readBack(i.PID())...)
	if g.has(sandbox.Namespaces) && !g.identity.root {
		out = append(out, "user namespace")
	}
	if !g.otherUser() {
		out = append(out, ownUser)
	}
	if g.has(sandbox.EmptyRoot) {
		out = append(out, sandbox.EmptyRoot)
	}
	if g.has(sandbox.Landlock) {
		out = append(out, sandbox.Landlock)
	}
	if g.has(sandbox.ResourceLimits) {
		out = append(out, sandbox.ResourceLimits)
	}
	if p.group != nil {
		out = append(out, cgroupLayer)
	}
	if n := len(p.libraries); n > 0 {
		out = append(out, fmt.Sprintf("sees %d libraries of the system that it is linked with, read-only", n))
	}
	return out
}

// missing says what does not.
func (i *Instance) missing() []string {
	g := i.process.ground
	var out []string
	for _, layer := range g.without() {
		out = append(out, layer+": "+g.missing[layer])
	}
	reasons := g.cgroups
	if i.process.ungrouped != "" {
		reasons = []string{i.process.ungrouped}
	}
	for _, r := range reasons {
		out = append(out, cgroupLayer+": "+r)
	}
	return out
}

// readBack asks the kernel (proc_pid_status(5)).
func readBack(pid int) []string {
	var out []string
	fields := procStatus(pid)
	for _, f := range []struct{ key, value, says string }{
		{"NoNewPrivs", "1", "no_new_privs"},
		{"Seccomp", "2", sandbox.Filter},
		{"CapBnd", "0000000000000000", "no capabilities, now or later"},
	} {
		if fields[f.key] == f.value {
			out = append(out, f.says)
		}
	}
	if uid, _, ok := strings.Cut(fields["Uid"], "\t"); ok && uid != fmt.Sprint(os.Geteuid()) {
		out = append(out, "user "+uid)
	}
	return append(out, spaces(pid, fields["NSpid"])...)
}

// spaces names the namespaces that are not ours. To read which ones takes a privilege that the gateway may not have;
// every process may see that one of another pid namespace has a number there.
func spaces(pid int, numbers string) []string {
	var names []string
	for _, ns := range []string{"net", "mnt", "pid", "ipc", "uts", "cgroup"} {
		ours, err := os.Readlink("/proc/self/ns/" + ns)
		theirs, terr := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
		if err == nil && terr == nil && ours != theirs {
			names = append(names, ns)
		}
	}
	switch {
	case len(names) > 0:
		return []string{sandbox.Namespaces + " of its own: " + strings.Join(names, " ")}
	case len(strings.Fields(numbers)) > 1:
		return []string{sandbox.Namespaces + " of its own"}
	default:
		return nil
	}
}

// procStatus reads the kernel's view of a process; it is empty when there is none to be had.
func procStatus(pid int) map[string]string {
	fields := map[string]string{}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return fields
	}
	for line := range strings.Lines(string(raw)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[key] = strings.TrimSpace(value)
		}
	}
	return fields
}
