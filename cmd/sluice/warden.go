package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// The warden goes on when its node does not run, and is then asked itself.

// packagedWarden is where the package's unit has the warden answer (packaging/systemd/sluice-guard.service).
const packagedWarden = "/run/sluice/guard.sock"

// wardenOf is the socket of a node's warden, as far as anybody can know it who has not read the node's command line.
func (o *askOptions) wardenOf(node string) string {
	own := gateway.WardenSocket(o.state, node)
	if o.warden != "" {
		return o.warden
	}
	if !exists(own) && filepath.Clean(o.state) == systemState && exists(packagedWarden) {
		return packagedWarden
	}
	return own
}

// guardedNodes are those that run, and those that have run and whose warden still does.
func (o *askOptions) guardedNodes() ([]string, error) {
	nodes, err := nodesOf(o.state, o.node)
	if o.node != "" {
		return nodes, err
	}
	entries, derr := os.ReadDir(o.state)
	if derr != nil && !errors.Is(derr, fs.ErrNotExist) {
		return nil, derr
	}
	for _, e := range entries {
		socket := o.wardenOf(e.Name())
		known := socket == gateway.WardenSocket(o.state, e.Name()) || exists(o.auditDir(e.Name()))
		if known && exists(socket) && !slices.Contains(nodes, e.Name()) {
			nodes = append(nodes, e.Name())
		}
	}
	if len(nodes) == 0 {
		return nil, err
	}
	slices.Sort(nodes)
	return nodes, nil
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isAway reports whether nobody answered for the node: what it refuses is no reason to ask somebody else.
func isAway(err error) bool {
	_, refused := errors.AsType[*console.Error](err)
	return err != nil && !refused && !errors.Is(err, context.Canceled)
}

// withWarden asks the warden of a node.
func (o *askOptions) withWarden(ctx context.Context, node string, ask func(context.Context, *warden.Client) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := warden.Dial(ctx, o.wardenOf(node), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { _ = c.Run(ctx) }) // it has no error but that ctx ended
	defer cancel()
	return ask(ctx, c)
}

// standing is what a warden says, in the console's words.
func standing(st guard.Standing) (console.Guard, error) {
	g := console.Guard{
		State: console.GuardOK, Interfaces: []console.Interface{},
		Warden: &console.Warden{PID: st.PID, Known: st.Known, Reason: st.Reason, At: st.At.UTC()},
	}
	switch {
	case len(st.Trips) > 0:
		g.State = console.GuardTripped
	case !st.Known:
		g.State = console.GuardUnknown + ": " + st.Reason
	case len(st.Barriers) == 0:
		g.State = console.GuardUnknown + ": the warden has been told nothing, and fences nothing"
	}
	var err error
	for _, b := range st.Barriers {
		var same console.Barriers
		err = errors.Join(err, reword(b, &same))
		g.Interfaces = append(g.Interfaces, console.Interface{
			Name: b.Interface, Index: b.Index, Up: isUp(b), Role: b.Role.String(), Barriers: &same,
			Reason: "as the warden has it: its node does not run",
		})
	}
	if st.Input != (guard.Check{}) { // there are ports to drop
		err = errors.Join(err, reword(st.Input, &g.Input))
	}
	return g, errors.Join(err, reword(st.Trips, &g.Trips), reword(st.Restored, &g.Restored))
}

// isUp asks the kernel: the warden does not say. An isolated interface is not here, and shown as down.
func isUp(b guard.Barrier) bool {
	i, err := net.InterfaceByIndex(b.Index)
	return err == nil && i.Name == b.Interface && i.Flags&net.FlagUp != 0
}

// reword turns a value into one of another type that is written the same way as JSON.
func reword(from, to any) error {
	b, err := json.Marshal(from)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, to)
}

// wardenReport is the evidence of a warden alone: nobody watches for mirrored traffic then.
func (o *askOptions) wardenReport(ctx context.Context, node string, try bool) (console.GuardReport, error) {
	r := console.GuardReport{Node: node}
	err := o.withWarden(ctx, node, func(ctx context.Context, c *warden.Client) error {
		st, err := c.Audit(ctx)
		if err != nil {
			return err
		}
		r.At = st.At.UTC()
		if r.Guard, err = standing(st); err != nil || !try {
			return err
		}
		tried, err := c.Test(ctx)
		for _, p := range tried.Probes {
			check := console.Check{Name: "frames that must not leave", OK: p.OK || p.Idle, Text: p.Text}
			r.Trials = append(r.Trials, console.Trial{Interface: p.Interface, Checks: []console.Check{check}})
		}
		return err
	})
	return r, err
}

// errNodeRuns refuses what would not last.
var errNodeRuns = errors.New("the node runs, and would fence its interfaces again: stop it first (systemctl stop sluice)")

// noted writes an entry to the audit log of a node that does not run. What it is about is done only when that worked.
func (o *askOptions) noted(node, what, reason string) (who auditlog.Who, err error) {
	who = auditlog.Peer(uint32(os.Getuid()), int32(os.Getpid()))
	log, err := auditlog.Open(o.auditDir(node), node)
	if err != nil {
		return who, err
	}
	_, err = log.Append(auditlog.Entry{What: what, Who: who, Object: "guard", Detail: reason})
	return who, errors.Join(err, log.Close())
}

// resetGuard lets the node reset a trip. A warden that does not serve root listens to root alone, because what was taken
// over could be the node: it writes down who resets it then, and root asks the warden.
func (o *askOptions) resetGuard(ctx context.Context, node string, client console.Client, reason string) (console.Guard, error) {
	g, err := client.GuardReset(ctx, console.GuardResetRequest{Reason: reason})
	if isAway(err) {
		return o.resetWarden(ctx, node, reason)
	}
	refused, ok := errors.AsType[*console.Error](err)
	if !ok || refused.Code != console.CodeNeedsRoot || os.Geteuid() != 0 {
		return g, err
	}
	err = o.withWarden(ctx, node, func(ctx context.Context, c *warden.Client) error {
		return c.Reset(ctx, warden.By{Who: auditlog.Peer(rootUID, int32(os.Getpid())).String(), Reason: reason})
	})
	if err != nil {
		return g, err
	}
	report, err := client.GuardTest(ctx, console.GuardTestRequest{}) // what the node sees of it
	return report.Guard, err
}

// rootUID is root's user id.
const rootUID = 0

// resetWarden resets a trip of a node that does not run.
func (o *askOptions) resetWarden(ctx context.Context, node, reason string) (g console.Guard, err error) {
	err = o.withWarden(ctx, node, func(ctx context.Context, c *warden.Client) error {
		who, err := o.noted(node, auditlog.Reset, reason)
		if err != nil {
			return err
		}
		if err := c.Reset(ctx, warden.By{Who: who.String(), Reason: reason}); err != nil {
			return err
		}
		st, err := c.Audit(ctx)
		if err != nil {
			return err
		}
		g, err = standing(st)
		return err
	})
	return g, err
}

// releaseWarden takes the drops of a node away that does not run.
func (o *askOptions) releaseWarden(ctx context.Context, node, reason string) error {
	if _, err := console.Fetch(ctx, gateway.Socket(o.state, node)); err == nil {
		return fmt.Errorf("node %s: %w", node, errNodeRuns)
	}
	return o.withWarden(ctx, node, func(ctx context.Context, c *warden.Client) error {
		who, err := o.noted(node, auditlog.Release, reason)
		if err != nil {
			return err
		}
		return c.Release(ctx, warden.By{Who: who.String(), Reason: reason})
	})
}
