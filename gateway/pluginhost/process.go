package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/cgroup"
	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// process is one plugin process. It implements go-plugin's runner.Runner, so that starting, killing, standard error
// and the socket's address are in our hands and not in go-plugin's.
type process struct {
	host      *Host
	name      string         // argv[0]
	component string         // for logs and the control group
	ground    *ground        // what it is confined with
	grants    []sandbox.Path // what it is given
	libraries []sandbox.Path // what its program is linked with
	image     *image
	control   *os.File
	env       []string // set before Start
	log       *pluginLog
	hello     *greeting
	cmd       *exec.Cmd
	errand    *errand       // with the shim
	socket    string        // set by PluginToHost
	sockets   *os.File      // the directory of it, where it is not the host's; set by PluginToHost
	ended     chan struct{} // closed when the process is reaped and its output has been read

	mu        sync.Mutex    // guards what follows
	pid       int           // 0 = never started
	group     *cgroup.Group // nil = none
	ungrouped string        // why there is none, though there could be
	reaped    bool
	killed    string // reason of the first kill
	outcome   string // of os.ProcessState, valid when ended is closed
}

func newProcess(h *Host, name, component string, img *image, control *os.File, log *pluginLog) *process {
	return &process{
		host: h, name: name, component: component, image: img, control: control, log: log, ended: make(chan struct{}),
	}
}

// Start is called by go-plugin, once.
func (p *process) Start(context.Context) error {
	outR, outW, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("pipe: %w", err)
	}
	defer outW.Close() //nolint:errcheck // the plugin has its own
	errR, errW, err := os.Pipe()
	if err != nil {
		_ = outR.Close()
		return fmt.Errorf("pipe: %w", err)
	}
	defer errW.Close() //nolint:errcheck // the plugin has its own
	p.hello = &greeting{pipe: outR}
	if err := p.launch(outW, errW); err != nil {
		_ = outR.Close()
		_ = errR.Close()
		return err
	}
	go p.watch(outR, errR) //nolint:gosec // outlives its caller and is owned by the Host, see track
	return nil
}

// command is the shim's. What becomes of it is sent by the errand.
func (p *process) command(stdout, stderr *os.File) (*exec.Cmd, *errand, error) {
	h := p.host
	cmd := exec.CommandContext(context.Background(), h.cfg.Shim[0], h.cfg.Shim[1:]...)
	if h.cfg.Unconfined {
		cmd = direct(p.name)
	}
	cmd.Env, cmd.Dir = p.environment(), "/"
	cmd.Stdout, cmd.Stderr = stdout, stderr // standard input is /dev/null
	cmd.SysProcAttr = p.ground.attributes()
	send, err := order(cmd, p.control, p.image.file)
	return cmd, send, err
}

// launch holds the process's lock and takes the host's: nobody may do it the other way round.
func (p *process) launch(stdout, stderr *os.File) error {
	spec, err := p.sandboxFor(p.grants)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	cmd, send, err := p.command(stdout, stderr)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if err := p.host.track(p); err != nil {
		send.drop()
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cmd, p.errand = cmd, send
	err = errors.New("killed before it was started")
	if p.killed == "" {
		err = p.host.startOnThread(cmd)
	}
	if err != nil {
		send.drop()
		p.host.untrack(p)
		if reason := whyNoNamespaces(err); reason != "" {
			err = fmt.Errorf("%s: %w", reason, err)
		}
		return fmt.Errorf("start: %w", err)
	}
	p.pid = cmd.Process.Pid
	p.join()
	if err := send.spec(spec); err != nil { // the shim ends without orders, and says so
		p.host.cfg.Log.Error("plugin gets no orders", "component", p.component, "error", err)
	}
	return nil
}

// watch reads standard error and waits for the end.
func (p *process) watch(outR, errR *os.File) {
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() { p.log.run(ctx, errR) })
	waitForEnd(p.pid)
	p.reap()
	cancel()
	// A grandchild may hold the pipes open.
	deadline := time.Now().Add(pipePatience)
	_ = outR.SetReadDeadline(deadline)
	_ = errR.SetReadDeadline(deadline)
	wg.Wait()
	_ = errR.Close()
	_ = outR.Close()
	p.errand.drop()
	close(p.ended)
	p.host.untrack(p)
}

// waitForEnd blocks until the process has ended and leaves it a zombie, so that its number stays its own.
func waitForEnd(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (p *process) reap() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.destroy()      // what it left behind
	_ = p.cmd.Wait() // the state tells
	p.leave()
	p.reaped = true
	p.outcome = p.cmd.ProcessState.String()
}

// kill kills the process and its group. It does not wait, and after the end it does nothing.
func (p *process) kill(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	if p.killed == "" {
		p.killed = reason
	}
	if p.pid != 0 {
		p.destroy()
	}
}

// giveBack releases what outlives the process for the sake of the connections to it.
func (p *process) giveBack() {
	p.host.images.put(p.image)
	if p.sockets != nil {
		_ = p.sockets.Close()
	}
}

// settle waits a moment for the news of the end.
func (p *process) settle() {
	patience := time.NewTimer(gonePatience)
	defer patience.Stop()
	select {
	case <-p.ended:
	case <-patience.C:
	}
}

// end says how the process ended.
func (p *process) end() (status, killed string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome, p.killed
}

// Wait blocks until the end.
func (p *process) Wait(context.Context) error {
	<-p.ended
	return nil
}

// Kill is called by go-plugin. A process that has closed its standard output is about to end: its own way of ending
// tells more than ours.
func (p *process) Kill(context.Context) error {
	if p.hello.over() {
		p.settle()
	}
	p.kill("it did not start")
	return nil
}

// Stdout is the first line only.
func (p *process) Stdout() io.ReadCloser { return p.hello }

// Stderr is empty for go-plugin, whose parser a plugin can crash: see pluginLog.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name is the plugin's.
func (p *process) Name() string { return p.name }

// ID is never empty: go-plugin cleans up only behind a runner that has one.
func (p *process) ID() string { return p.name }

// Diagnose is left to StartError.
func (p *process) Diagnose(context.Context) string { return "" }
