package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// stopPatience is how long a node may take to stop (ours: receivers alone may take 5 s).
const stopPatience = 15 * time.Second

// node is one machine of the site: a directory, and the daemon that runs in it.
type node struct {
	name, dir, bin, config string
	cmd                    *exec.Cmd
	log                    logBuffer
	end                    chan error
}

// logBuffer keeps what a daemon printed, to be shown when the demo fails.
type logBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

// Write implements io.Writer.
func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (n *node) state() string { return filepath.Join(n.dir, stateBelow) }

// command is a command line of the program as a person on this machine would type it.
func (n *node) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, "sluice"), args...)
	cmd.Dir = n.dir
	return cmd
}

// sluice runs a command line and returns what it printed.
func (n *node) sluice(ctx context.Context, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := n.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s$ sluice %s: %w: %s", n.name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// start runs the daemon. Its context is not the demo's: it is stopped in order.
func (n *node) start() error {
	n.cmd = n.command(context.Background(), "run", "--config", n.config, "--node", n.name, "--state", n.state())
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("node %s: %w", n.name, err)
	}
	n.end = make(chan error, 1)
	go func() { n.end <- n.cmd.Wait() }()
	return nil
}

// stop ends the daemon in order, and by force when it does not obey.
func (n *node) stop() {
	if n.end == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-n.end:
	case <-time.After(stopPatience):
		_ = n.cmd.Process.Kill()
		<-n.end
	}
	n.end = nil
}

// ended says how a daemon ended that should run.
func (n *node) ended() error {
	select {
	case err := <-n.end:
		n.end <- err // for stop
		return fmt.Errorf("node %s ended: %w", n.name, err)
	default:
		return nil
	}
}

// link asks the node for its end of the link.
func (n *node) link(ctx context.Context) (l console.Link, ready bool) {
	st, err := console.Fetch(ctx, gateway.Socket(n.state(), n.name))
	if err != nil {
		return l, false
	}
	for _, l := range st.Links {
		if l.Name == linkName {
			return l, st.Ready
		}
	}
	return l, false
}

// records is the file that the far side writes.
func (n *node) records() string { return filepath.Join(n.state(), "out", "records.ndjson") }

// readRecords returns what has been written so far; no file is nothing.
func readRecords(path string) []byte {
	b, _ := os.ReadFile(path) // it appears with the first record
	return b
}
