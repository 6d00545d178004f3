package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	// startPatience is how long a side may take until it listens.
	startPatience = 20 * time.Second
	// stopPatience is how long a process may take to stop before it is killed.
	stopPatience = 10 * time.Second
	readyPoll    = 10 * time.Millisecond
)

// side is one running contestant.
type side struct {
	name     string
	tls, udp string // addresses
	output   string // file that it writes
	dir      string
	commands []*exec.Cmd
	roles    []string // of the commands, as the report calls them
	// figures tells what the contestant counts itself; nil when it counts nothing that is read here.
	figures func(ctx context.Context) (figures, error)
}

// figures is what a contestant says of itself.
type figures struct {
	wireBytes   uint64 // on the link, all headers included
	counted     uint64 // records and datagrams that it says it has lost
	gaps        uint64
	repaired    uint64 // blocks of the link that were repaired
	kernelDrops uint64 // frames of the link
	buffers     string // receive buffers granted
	shape       string // of the link's error correction
	detail      string // everything that both ends of the link count
}

// pids are the processes that were started; what they have started themselves is found below them.
func (s *side) pids() []int {
	var pids []int
	for _, c := range s.commands {
		pids = append(pids, c.Process.Pid)
	}
	return pids
}

// start runs a program of the side; its output goes to a log in the side's directory.
func (s *side) start(ctx context.Context, role, name string, args ...string) error {
	f, err := os.OpenFile(filepath.Join(s.dir, role+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // the child has its own descriptor
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopPatience
	if err := cmd.Start(); err != nil {
		return err
	}
	s.commands, s.roles = append(s.commands, cmd), append(s.roles, role)
	return nil
}

// stop ends the side's processes in the order in which they were started, and removes what they wrote.
func (s *side) stop() error {
	var errs []error
	for _, c := range s.commands {
		_ = c.Process.Signal(syscall.SIGTERM)
		kill := time.AfterFunc(stopPatience, func() { _ = c.Process.Kill() })
		if err := c.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %s: %w", s.name, filepath.Base(c.Path), err))
		}
		kill.Stop()
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// abandon stops a side that did not start and adds the end of its logs to the error.
func (s *side) abandon(err error) error {
	logs, _ := filepath.Glob(filepath.Join(s.dir, "*.log"))
	for _, path := range logs {
		b, _ := os.ReadFile(path)
		err = fmt.Errorf("%w\n%s: %s", err, filepath.Base(path), b[max(0, len(b)-2000):])
	}
	return errors.Join(err, s.stop())
}

// await polls until ok, an error, or the end of patience.
func await(ctx context.Context, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	var last error
	for {
		done, err := ok()
		if done {
			return nil
		}
		last = err
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("%s: not ready after %v", what, startPatience), last)
		}
	}
}
