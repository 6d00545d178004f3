package cable

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

// Node is one machine of the site: a directory, and the daemon that runs in it.
type Node struct {
	Name             string
	dir, bin, config string
	cmd              *exec.Cmd
	log              logBuffer
	end              chan error
}

// logBuffer keeps what a daemon printed, to be shown when something fails.
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

func (n *Node) state() string { return filepath.Join(n.dir, stateBelow) }

// command is a command line of the program as a person on this machine would type it.
func (n *Node) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(n.bin, "sluice"), args...)
	cmd.Dir = n.dir
	return cmd
}

// Sluice runs a command line of the program on this machine and returns what it printed on its standard output. The error
// holds what else it printed.
func (n *Node) Sluice(ctx context.Context, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := n.command(ctx, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s$ sluice %s: %w: %s", n.Name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return out.String(), nil
}

// start runs the daemon. It has no context: it is stopped in order.
func (n *Node) start() error {
	n.cmd = n.command(context.Background(), "run", "--config", n.config, "--node", n.Name, "--state", n.state())
	n.cmd.Stdout, n.cmd.Stderr = &n.log, &n.log
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("node %s: %w", n.Name, err)
	}
	n.end = make(chan error, 1)
	go func() { n.end <- n.cmd.Wait() }()
	return nil
}

// stop ends the daemon in order, and by force when it does not obey.
func (n *Node) stop() {
	if n.end == nil {
		return
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-n.end: //nolint:errcheck // how it ended is told where it is waited for
	case <-time.After(stopPatience):
		_ = n.cmd.Process.Kill()
		<-n.end //nolint:errcheck // it was killed
	}
	n.end = nil
}

// Ended says how a daemon ended that should run.
func (n *Node) Ended() error {
	select {
	case err := <-n.end:
		n.end <- err // for stop
		return fmt.Errorf("node %s ended: %w", n.Name, err)
	default:
		return nil
	}
}

// Link asks the node for its end of the link; ready says that all of the node runs.
func (n *Node) Link(ctx context.Context) (l console.Link, ready bool) {
	st, err := console.Fetch(ctx, gateway.Socket(n.state(), n.Name))
	if err != nil {
		return l, false
	}
	for _, l := range st.Links {
		if l.Name == LinkName {
			return l, st.Ready
		}
	}
	return l, false
}

// Records is what the far side has written so far. No file is nothing: it appears with the first record.
func (n *Node) Records() []byte {
	b, _ := os.ReadFile(filepath.Join(n.state(), "out", "records.ndjson"))
	return b
}

// Log is what the daemon has printed.
func (n *Node) Log() string { return n.log.String() }
