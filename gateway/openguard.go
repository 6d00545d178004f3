package gateway

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
)

// mirrorWatch is how long an interface is looked at before it serves without having been named. From the design.
const mirrorWatch = 10 * time.Second

// wardenPatience is how long the warden may take to fence what a policy names (ours: eight interfaces take well below a
// second).
const wardenPatience = 20 * time.Second

// WardenSocket is where the warden of a node is asked when nothing else is said.
func WardenSocket(stateDir, node string) string {
	return filepath.Join(stateDir, node, "guard", "warden.sock")
}

// openGuard decides on the interfaces. Where some of them must be silent, the warden is told the policy, and nothing is
// opened before it has answered that they are.
func (g *Gateway) openGuard(ctx context.Context) error {
	o := guard.Options{
		Policy: GuardPolicy(g.opts.Plan, g.opts.Node, time.Now()), Log: g.log,
		Accepted: filepath.Join(g.opts.nodeDir(), "interfaces.json"), MirrorWatch: mirrorWatch,
	}
	if g.opts.Warden != "" { // it also opens larger buffers than this process may
		var err error
		g.guard, err = g.fenced(ctx, o)
		return err
	}
	gd, err := guard.New(o)
	if errors.Is(err, guard.ErrNoFence) {
		gd, err = g.fenced(ctx, o)
	}
	g.guard = gd
	return err
}

// fenced makes a guard that opens sockets only while the warden says that the interfaces are silent.
func (g *Gateway) fenced(ctx context.Context, o guard.Options) (*guard.Guard, error) {
	ctx, cancel := context.WithTimeout(ctx, wardenPatience)
	defer cancel()
	c, err := warden.Dial(ctx, g.opts.warden(), g.log)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; a node started as root starts its warden itself, under systemd it is sluice-guard.service (docs/guard.md)", guard.ErrNoFence, err)
	}
	live, stop := context.WithCancel(context.WithoutCancel(ctx))
	running := start(func() error { return c.Run(live) })
	g.warden, g.leave = c, func() error {
		stop()
		return running.wait()
	}
	if err := c.Order(ctx, o.Policy); err != nil {
		return nil, err
	}
	o.Fence, o.Opener = c, c
	return guard.New(o)
}
