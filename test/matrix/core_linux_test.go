package matrix_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
)

// coreVerb makes this program play the unprivileged half of the guard.
const coreVerb = "matrix-core"

// corePolicy is what it orders.
func corePolicy() guard.Policy {
	return guard.Policy{Node: "matrix", Monitoring: only(guarded), Ports: []guard.Port{{Network: "tcp", Port: oursPort}}}
}

// coreMain is that program: it orders its policy, listens, and prints a line
// whenever what it decided or listens on has changed.
func coreMain(socket string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := core(ctx, socket); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func core(ctx context.Context, socket string) error {
	client, err := warden.Dial(ctx, socket, discard())
	if err != nil {
		return err
	}
	var running sync.WaitGroup
	defer running.Wait()
	running.Go(func() { _ = client.Run(ctx) })
	if err := client.Order(ctx, corePolicy()); err != nil {
		return err
	}
	g, err := guard.New(guard.Options{Policy: corePolicy(), Log: discard(), Fence: client, Opener: client})
	if err != nil {
		return err
	}
	running.Go(func() { _ = g.Run(ctx) })
	l, err := g.ListenTCP(ctx, oursPort, func(c *net.TCPConn, _ string) { _ = c.Close() })
	if err != nil {
		return err
	}
	last := ""
	for ctx.Err() == nil {
		if now := coreLine(g, l); now != last {
			last = now
			fmt.Println(now)
		}
		<-time.After(10 * time.Millisecond)
	}
	return l.Close()
}

// coreLine is like "ok: lo=service mon0=monitoring: listening lo".
func coreLine(g *guard.Guard, l *guard.Listeners) string {
	s := g.Snapshot()
	var roles, open []string
	for _, d := range s.Decisions {
		roles = append(roles, d.Name+"="+d.Role.String())
	}
	for _, st := range l.Stats() {
		if st.State == guard.SocketListening && !slices.Contains(open, st.Interface) {
			open = append(open, st.Interface)
		}
	}
	return s.State + ": " + strings.Join(roles, " ") + ": listening " + strings.Join(open, " ")
}

// coreProcess is a core that was started.
type coreProcess struct {
	cmd  *exec.Cmd
	done chan struct{}
	mu   sync.Mutex // guards last
	last string
}

func (c *cell) core(w *watched) *coreProcess {
	c.Helper()
	program, err := os.Executable()
	if err != nil {
		c.Fatal(err)
	}
	p := &coreProcess{cmd: c.node.Command(context.Background(), program, coreVerb, w.socket()), done: make(chan struct{})}
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		c.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		c.Fatal(err)
	}
	go func() {
		defer close(p.done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.last = lines.Text()
			p.mu.Unlock()
		}
	}()
	c.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

func (p *coreProcess) says() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// end ends it by a signal.
func (p *coreProcess) end(sig syscall.Signal) {
	_ = p.cmd.Process.Signal(sig)
	<-p.done
	_ = p.cmd.Wait()
}

// awaitLine waits until the core says all that.
func (c *cell) awaitLine(p *coreProcess, want ...string) {
	c.Helper()
	c.until("the core says "+strings.Join(want, ", "), func() bool {
		return !slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(p.says(), w) })
	})
}

// TestCoreKilled kills the core, and then its warden as well: the interface is
// guarded, and both find their way back.
func TestCoreKilled(t *testing.T) {
	t.Parallel()
	c := newCell(t, anything)
	w := guarding(t, c.node, corePolicy())
	c.up()
	first := c.core(w)
	c.awaitLine(first, "ok:", "listening behind lo svc0", "mon0=monitoring")
	first.end(syscall.SIGKILL)
	c.held("core killed")
	w.stop(syscall.SIGKILL)
	c.held("both killed")
	w.start()
	w.awaitWhole()
	second := c.core(w)
	c.awaitLine(second, "ok:", "listening behind lo svc0")
	w.stop(syscall.SIGKILL)
	c.awaitLine(second, "unknown", "listening")
	c.held("warden killed")
	w.start()
	c.awaitLine(second, "ok:", "listening behind lo svc0")
	second.end(syscall.SIGTERM)
}

// TestCoreStalled stops the core while more happens than its reader holds, and
// wants it to know the truth afterwards.
func TestCoreStalled(t *testing.T) {
	t.Parallel()
	c := newCell(t, anything)
	w := guarding(t, c.node, corePolicy())
	c.up()
	p := c.core(w)
	c.awaitLine(p, "ok:", "listening behind lo svc0")
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	c.node.Batch(flood(service, 5000)...)
	c.node.Batch("link add link "+guarded+" name kid0 type macvlan mode bridge", "link add last0 type bridge", "link delete behind")
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	c.awaitLine(p, "ok:", "kid0=monitoring", "last0=closed")
	c.until("the deleted interfaces are gone", func() bool { return !strings.Contains(p.says(), "svc0") })
	t.Logf("5000 events later it took %s to know the truth: %s", since(began), p.says())
	c.held("afterwards")
	p.end(syscall.SIGTERM)
}
