package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// mount is one mounted hierarchy.
type mount struct {
	root, point string // which group is mounted where
	version     int
	controllers []string // of version 1; in version 2 all that cgroup.controllers says
}

// key is how /proc/self/cgroup calls the hierarchy.
func (m mount) key(controller string) string {
	if m.version == 2 {
		return ""
	}
	return controller
}

// dirOf is the directory of a group.
func (m mount) dirOf(group string) (string, error) {
	if m.root == "/" {
		return filepath.Join(m.point, group), nil
	}
	rest, ok := strings.CutPrefix(group+"/", m.root+"/")
	if !ok {
		return "", fmt.Errorf("group %s is not below %s, which is what is mounted at %s", group, m.root, m.point)
	}
	return filepath.Join(m.point, rest), nil
}

func readSystem() (*system, error) {
	groups, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	return &system{mounts: parseMounts(string(mounts)), own: parseGroups(string(groups)), pid: os.Getpid()}, nil
}

// parseMounts reads /proc/self/mountinfo (proc_pid_mountinfo(5)); other file systems are skipped.
func parseMounts(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		before, after, ok := strings.Cut(line, " - ")
		left, right := strings.Fields(before), strings.Fields(after)
		if !ok || len(left) < 5 || len(right) < 3 {
			continue
		}
		m := mount{root: left[3], point: left[4]}
		switch right[0] {
		case "cgroup":
			m.version, m.controllers = 1, strings.Split(right[2], ",")
		case "cgroup2":
			m.version = 2
			raw, err := os.ReadFile(filepath.Join(m.point, "cgroup.controllers"))
			if err == nil {
				m.controllers = strings.Fields(string(raw))
			}
		default:
			continue
		}
		out = append(out, m)
	}
	return out
}

// parseGroups reads /proc/self/cgroup (cgroups(7)).
func parseGroups(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		for c := range strings.SplitSeq(parts[1], ",") {
			out[c] = parts[2]
		}
	}
	return out
}

// mountOf finds the hierarchy of a controller.
func (sys *system) mountOf(controller string) (mount, bool) {
	i := slices.IndexFunc(sys.mounts, func(m mount) bool { return slices.Contains(m.controllers, controller) })
	if i < 0 {
		return mount{}, false
	}
	return sys.mounts[i], true
}
