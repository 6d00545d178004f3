package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// apartVerb makes this program the first process of namespaces of its own.
const apartVerb = "apart"

// wardens says whether the nodes have one: it opens large receive buffers for nodes that have stepped down from root.
func wardens() bool { return os.Geteuid() == 0 }

// apart runs the benchmark again in a network and a pid namespace of its own, as root: the warden's table appears on no
// interface of the machine, and what outlives the nodes ends with the benchmark.
func apart(ctx context.Context, args []string) error {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{apartVerb}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWPID | unix.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	return cmd.Run()
}

// settle prepares the namespaces: /proc has to show their processes, and loopback has to be up.
func settle(ctx context.Context) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mounts of its own: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("/proc of its own: %w", err)
	}
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("loopback: %w: %s", err, out)
	}
	return nil
}

// startWarden starts the warden of all rounds: what keeps its table outlives it. Both nodes share it: their policies
// name loopback only, before which nothing stands, and all that is asked of it are buffers.
func (l *lab) startWarden(ctx context.Context) error {
	dir := filepath.Join(l.root, "g")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	l.guard = &side{name: "warden", dir: dir}
	l.warden = filepath.Join(dir, "warden.sock")
	err := l.guard.start(ctx, "warden", filepath.Join(l.bin, "sluice"), "guard-warden", "--socket", l.warden, "--state", dir, "--uid", "0", "--node", nearNode)
	if err != nil {
		return err
	}
	return await(ctx, "warden", func() (bool, error) {
		_, err := os.Stat(l.warden)
		return err == nil, err
	})
}
