package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/sluice-gateway/sluice/sdk"
	"github.com/sluice-gateway/sluice/sdk/control"
)

// Instance is one running plugin process.
type Instance struct {
	component string
	info      sdk.Info
	plugin    sdk.Plugin
	conn      *grpc.ClientConn
	control   *control.Socket
	process   *process
	client    *plugin.Client
	given     sync.Once // what the process used has been given back
}

// Plugin is the plugin: an sdk.Receiver or an sdk.Sink, by kind.
func (i *Instance) Plugin() sdk.Plugin { return i.plugin }

// Control is the core's end of the control socket. The caller reads it; Stop closes it.
func (i *Instance) Control() *control.Socket { return i.control }

// PID is the process id.
func (i *Instance) PID() int { return i.process.pidOf() }

// Version is what the plugin says of itself.
func (i *Instance) Version() string { return i.info.Version }

// SHA256 is the hash of the program that runs, in lower-case hexadecimal.
func (i *Instance) SHA256() string { return i.process.image.sha256 }

// Done is closed when the process has ended.
func (i *Instance) Done() <-chan struct{} { return i.process.ended }

// Err says how the process ended, as an *ExitError; nil while it runs.
func (i *Instance) Err() error {
	select {
	case <-i.process.ended:
	default:
		return nil
	}
	status, killed := i.process.end()
	return &ExitError{Component: i.component, Status: status, Killed: killed, Panic: i.process.log.panicLine()}
}

// Stop kills the process and gives everything back, in at most two seconds or until ctx ends. Drain must have been
// called before when the plugin is to finish its work: go-plugin cuts calls in flight. A second call has no effect.
func (i *Instance) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, killPatience)
	defer cancel()
	i.process.kill("it was stopped")
	_ = i.control.Close()
	done := make(chan struct{})
	clean := func() {
		defer close(done)
		i.client.Kill() // has no deadline of its own; the process is dead, which ends all that it waits for
		i.given.Do(i.process.giveBack)
	}
	if !i.process.host.spawn(clean) {
		clean()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: process %d does not end: %w", i.component, i.PID(), ctx.Err())
	}
}

// alive asks the plugin's gRPC server whether it serves.
func (i *Instance) alive(ctx context.Context, deadline time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	r, err := grpc_health_v1.NewHealthClient(i.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: plugin.GRPCServiceName})
	if err != nil {
		return err
	}
	if s := r.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("health is %s", s)
	}
	return nil
}

// Start starts a plugin for a component, whose name goes into logs and errors, and gives it what it is granted. The
// error is a *NotInstalledError, a *StartError or ctx's.
func (h *Host) Start(ctx context.Context, kind, name, component string, grants ...Grant) (*Instance, error) {
	return h.start(ctx, kind, name, component, component, grants)
}

// start tells the component that exceptions are about ("" = none) from the label.
func (h *Host) start(ctx context.Context, kind, name, component, label string, grants []Grant) (*Instance, error) {
	path, err := h.Find(kind, name)
	if err != nil {
		return nil, err
	}
	g, err := h.prepared()
	if err != nil {
		return nil, &StartError{Kind: kind, Name: name, Reason: "its sandbox could not be tried", Err: err}
	}
	if err := h.refuse(g, kind, name, component); err != nil {
		return nil, err
	}
	paths, err := h.prepareGrants(g, grants)
	if err != nil {
		return nil, &StartError{Kind: kind, Name: name, Reason: "it cannot be given what it needs", Err: err}
	}
	img, err := h.images.get(path)
	if err != nil {
		return nil, &StartError{Kind: kind, Name: name, Reason: "its file cannot be run", Err: err}
	}
	ours, theirs, err := control.Pair()
	if err != nil {
		h.images.put(img)
		return nil, &StartError{Kind: kind, Name: name, Reason: "no control socket", Err: err}
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own
	log := newPluginLog(h.cfg.Log.With("component", label))
	p := newProcess(h, fileName(kind, name), label, img, theirs, log)
	p.ground, p.grants = g, paths
	i := &Instance{component: label, control: ours, process: p, client: h.newClient(kind, p)}
	if err := i.connect(ctx, kind, name); err != nil {
		_ = i.Stop(context.WithoutCancel(ctx))
		return nil, err
	}
	return i, nil
}

func (h *Host) newClient(kind string, p *process) *plugin.Client {
	return plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: sdk.Handshake(),
		Plugins:         sdk.HostPlugins(kind),
		RunnerFunc:      p.adopt,
		StartTimeout:    startTimeout,
		// go-plugin must never parse what a plugin prints: one line can crash it.
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Off}),
		SyncStdout:       p.log.splitter(), // what the plugin prints once it serves
		SyncStderr:       p.log.splitter(),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		AutoMTLS:         true,
		GRPCDialOptions:  p.dialOptions(),
		SkipHostEnv:      true,
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: h.cfg.RuntimeDir},
	})
}

// adopt takes over from go-plugin what it wants the plugin's environment to be.
func (p *process) adopt(_ hclog.Logger, spec *exec.Cmd, _ string) (runner.Runner, error) {
	p.env = spec.Env
	return p, nil
}

// connect starts the process and asks it what it is.
func (i *Instance) connect(ctx context.Context, kind, name string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	serving := make(chan error, 1)
	if !i.process.host.spawn(func() { serving <- i.serve() }) { // ends at the latest when the process does
		return ErrClosed
	}
	err := i.await(ctx, serving)
	if err == nil {
		err = i.describe(ctx, kind, name)
	}
	if err == nil {
		return nil
	}
	return i.diagnose(ctx, kind, name, err)
}

func (i *Instance) await(ctx context.Context, serving <-chan error) error {
	select {
	case err := <-serving:
		return err
	case <-ctx.Done():
		i.process.kill("it did not start in time")
		<-serving //nolint:errcheck // how serving ended was said before
		return ctx.Err()
	}
}

// serve blocks until the plugin answers or its process ends.
func (i *Instance) serve() error {
	cp, err := i.client.Client()
	if err != nil {
		return err
	}
	g, ok := cp.(*plugin.GRPCClient)
	if !ok {
		return fmt.Errorf("unexpected protocol %T", cp)
	}
	i.conn = g.Conn
	i.plugin, err = sdk.HostDispense(cp)
	return err
}

func (i *Instance) describe(ctx context.Context, kind, name string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	info, err := i.plugin.Describe(ctx)
	if err != nil {
		return fmt.Errorf("describe: %w", err)
	}
	if info.Kind != kind || info.Name != name {
		return fmt.Errorf("describe: it says that it is %s %s: the file has the wrong name", excerpt(info.Kind), excerpt(info.Name))
	}
	i.info = info
	return nil
}

// diagnose finds the words for a plugin that did not start.
func (i *Instance) diagnose(ctx context.Context, kind, name string, err error) error {
	e := &StartError{Kind: kind, Name: name, Reason: "it did not start", Err: err}
	if errors.Is(err, ErrClosed) || errors.Is(context.Cause(ctx), context.Canceled) {
		return e
	}
	i.process.settle()
	e.Output = i.process.log.lastLines()
	if i.process.hello != nil {
		if reason := i.process.hello.judge(); reason != "" {
			e.Reason, e.Err = reason, nil
			return e
		}
	}
	if reason, ok := strings.CutPrefix(e.Output, shimPrefix); ok {
		e.Reason, e.Err, e.Output = "its sandbox could not be made", errors.New(reason), ""
		return e
	}
	status, killed := i.process.end()
	switch {
	case errors.Is(err, context.DeadlineExceeded) || sdk.CodeOf(err) == sdk.CodeUnavailable:
		e.Reason = "it hangs: no answer in time"
	case killed != "" || status == "":
	case status == "exit status 0":
		e.Reason, e.Err = "it ended at once without a word (exit status 0): it is no plugin, or it could not listen on its socket", nil
	case i.conn == nil:
		e.Reason, e.Err = "it ended before it served ("+status+"): its main must call sdk.Serve", nil
	default:
		e.Reason, e.Err = "it ended while it was asked what it is ("+status+")", nil
	}
	return e
}
