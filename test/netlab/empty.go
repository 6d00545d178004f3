package netlab

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// Empty kills every process that lives in the namespace, but not the one that
// calls: what the machine does when somebody pulls its plug. It returns when
// they are gone.
func (n *Namespace) Empty() {
	n.t.Helper()
	ctx, stop := context.WithTimeout(context.Background(), cleanupTime)
	defer stop()
	for {
		left := n.processes(ctx)
		if len(left) == 0 {
			return
		}
		if ctx.Err() != nil {
			n.t.Errorf("netlab: processes %v of %s do not end", left, n.Name)
			return
		}
		for _, pid := range left {
			kill(pid)
		}
	}
}

// processes lists those that live in the namespace and are no zombies.
func (n *Namespace) processes(ctx context.Context) []int {
	out, err := exec.CommandContext(ctx, "ip", "netns", "pids", n.Name).Output()
	if err != nil {
		return nil
	}
	var pids []int
	for word := range strings.FieldsSeq(string(out)) {
		if pid, err := strconv.Atoi(word); err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}
