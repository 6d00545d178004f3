package packaging_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/test/netlab"
)

const (
	// patience is how long the tests wait for what takes a second on an idle
	// machine.
	patience  = time.Minute
	pollEvery = 20 * time.Millisecond
)

func ownedByRoot(info fs.FileInfo) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && s.Uid == 0
}

func unmount(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		t.Errorf("unmount %s: %v", dir, err)
	}
}

// inRoot runs a program in a root where nothing runs.
func inRoot(t *testing.T, root string, args ...string) string {
	t.Helper()
	return output(t, commandWithin, "chroot", append([]string{root}, args...)...)
}

// machine is a Debian with systemd as its first process, in namespaces of its
// own. Its network is a namespace of the lab.
type machine struct {
	t    *testing.T
	root string
	init int    // process id of its systemd, as seen from outside
	off  func() // powers it off, once
}

// holding is where the machine's control groups begin, so that they can be
// removed as one. systemd-nspawn makes two below.
func holding(name string) []string {
	var out []string
	for _, hierarchy := range []string{"", "systemd", "unified"} {
		dir := filepath.Join("/sys/fs/cgroup", hierarchy)
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			out = append(out, filepath.Join(dir, name))
		}
	}
	return out
}

// capabilities are those of the machine's root: what our units and the tests
// take, beyond what systemd-nspawn gives by itself.
const capabilities = "CAP_NET_ADMIN,CAP_NET_RAW,CAP_BPF,CAP_PERFMON,CAP_SYS_ADMIN"

// calls are system calls that systemd-nspawn of systemd 252 forbids its
// machines, and no real machine does.
const calls = "bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self"

// boot starts the machine and waits until systemd says that it runs.
func boot(t *testing.T, root string, ns *netlab.Namespace) *machine {
	t.Helper()
	name := fmt.Sprintf("sluice-package-%d", os.Getpid())
	groups := holding(name)
	script := `for dir in ` + strings.Join(groups, " ") + `; do mkdir "$dir" && echo $$ >"$dir/cgroup.procs" || exit 1; done; exec "$@"`
	cmd := exec.Command("sh", "-c", script, "sh", "systemd-nspawn", //nolint:noctx // ended below, in order
		"--quiet", "--directory="+root, "--machine="+name, "--boot", "--register=no", "--keep-unit", "--link-journal=no", "--console=pipe",
		"--network-namespace-path="+ns.Path(), "--capability="+capabilities, "--system-call-filter="+calls, "--resolv-conf=off", "--timezone=off")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	m := &machine{t: t, root: root}
	m.off = sync.OnceFunc(func() {
		m.init = 0
		shutDown(t, cmd.Process, ended, name, groups)
	})
	t.Cleanup(m.off)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("journal:\n%s", m.journal())
		}
	})
	eventually(t, "systemd in the machine", func() bool {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("systemd-nspawn ended: %v\n%s", err, said.String())
		default:
		}
		m.init = child(cmd.Process.Pid)
		if m.init == 0 {
			return false
		}
		state, _ := m.try("systemctl", "is-system-running")
		return state == "running" || state == "degraded"
	})
	if failed := m.run("systemctl", "--failed", "--no-legend", "--plain"); failed != "" {
		t.Logf("units that failed before ours was there:\n%s", failed)
	}
	return m
}

// shutDown ends the machine and takes its control groups away.
func shutDown(t *testing.T, p *os.Process, ended <-chan error, name string, groups []string) {
	t.Helper()
	_ = p.Signal(syscall.SIGTERM) // an orderly power-off; it may be gone already
	select {
	case err := <-ended:
		t.Log("the machine has ended:", err)
	case <-time.After(patience / 2):
		t.Error("the machine did not power off in order")
		_ = p.Kill()
		t.Log(<-ended)
	}
	_ = os.Remove(filepath.Join("/run/systemd/nspawn/propagate", name))
	for _, group := range groups {
		removeGroups(t, group)
	}
}

// removeGroups removes a control group and what is below, the deepest first.
func removeGroups(t *testing.T, top string) {
	t.Helper()
	var dirs []string
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil // what is gone meanwhile is gone
	})
	for i := range dirs {
		dir := dirs[len(dirs)-1-i]
		eventually(t, "removal of "+dir, func() bool {
			err := os.Remove(dir)
			return err == nil || os.IsNotExist(err)
		})
	}
}

// child returns the first child of a process, 0 while there is none.
func child(pid int) int {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(data), " ")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}

// try runs a program inside the machine.
func (m *machine) try(args ...string) (string, error) {
	ctx, stop := context.WithTimeout(context.Background(), commandWithin)
	defer stop()
	all := append([]string{"-t", strconv.Itoa(m.init), "-a", "--", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"}, args...)
	out, err := exec.CommandContext(ctx, "nsenter", all...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func (m *machine) run(args ...string) string {
	m.t.Helper()
	out, err := m.try(args...)
	if err != nil {
		m.t.Fatalf("in the machine: %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// main returns the main process of a unit, as the machine numbers it.
func (m *machine) main(unit string) string {
	m.t.Helper()
	return m.run("systemctl", "show", "--property=MainPID", "--value", unit)
}

// journal is what our units said last.
func (m *machine) journal() string {
	if m.init == 0 {
		return "the machine is off"
	}
	out, _ := m.try("journalctl", "--no-pager", "--lines=60", "--output=short-monotonic", "--unit=sluice", "--unit=sluice-guard")
	return out
}

// await polls the machine.
func (m *machine) await(what string, ok func() bool) {
	m.t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			m.t.Fatalf("waited %s for: %s", patience, what)
		}
		<-time.After(pollEvery)
	}
}

// eventually polls until ok, or ends the test.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for: %s", patience, what)
		}
		<-time.After(pollEvery)
	}
}
