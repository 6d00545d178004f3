package netlab

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// killGrace is how long a cancelled command's output may stay open. Ours.
const killGrace = 2 * time.Second

// Namespace is one network namespace, under its name for ip-netns(8).
type Namespace struct {
	Name string
	t    testing.TB
}

// Path is the file by which setns(2) enters the namespace.
func (n *Namespace) Path() string { return filepath.Join(namesDir, n.Name) }

// Command prepares a command that runs in the namespace, with its view of
// /sys. The process id is that of the command itself. It is killed when ctx
// ends; what outlives the test is killed at cleanup.
func (n *Namespace) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", n.Name, name}, args...)...)
	cmd.WaitDelay = killGrace
	return cmd
}

// Run runs a command in the namespace, ends the test when it fails, and
// returns what it printed.
func (n *Namespace) Run(name string, args ...string) string {
	n.t.Helper()
	out, err := n.Command(n.t.Context(), name, args...).CombinedOutput()
	if err != nil {
		n.t.Fatalf("netlab: %s: %s %s: %v: %s", n.Name, name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Nft loads a script into the namespace. Rules stand on lines of their own.
func (n *Namespace) Nft(script string) {
	n.t.Helper()
	cmd := n.Command(n.t.Context(), "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("netlab: %s: nft: %v: %s\n%s", n.Name, err, out, script)
	}
}

// Sysctl sets one kernel parameter of the namespace, by its dotted name.
// Interface names in it have no dot.
func (n *Namespace) Sysctl(name, value string) {
	n.t.Helper()
	path := filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
	// /proc/sys/net shows the namespace of the thread that opens it.
	if err := n.Do(func() error { return os.WriteFile(path, []byte(value), 0o644) }); err != nil {
		n.t.Fatalf("netlab: %s: %s = %s: %v", n.Name, name, value, err)
	}
}
