package netlab

import (
	"fmt"
	"os/exec"
	"strings"
)

// IP runs ip(8) on the namespace from outside, with half as many processes as
// Run needs, and returns what it printed.
func (n *Namespace) IP(args ...string) string {
	n.t.Helper()
	return run(n.t, "ip", append([]string{"-n", n.Name}, args...)...)
}

// Batch runs several commands of ip(8), one per line, in one process.
func (n *Namespace) Batch(lines ...string) {
	n.t.Helper()
	if err := n.TryBatch(lines...); err != nil {
		n.t.Fatal(err)
	}
}

// TryBatch is Batch that returns what went wrong: a kernel may lack a kind of
// interface. The commands before the one that failed have been carried out.
func (n *Namespace) TryBatch(lines ...string) error {
	cmd := exec.CommandContext(n.t.Context(), "ip", "-n", n.Name, "-batch", "-")
	cmd.Stdin = strings.NewReader(strings.Join(lines, "\n") + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("netlab: %s: ip -batch: %w: %s", n.Name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
