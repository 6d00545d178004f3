package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/privilege"
)

// wardenStart bounds how long a warden may take until it answers (ours: it takes some tens of milliseconds).
const wardenStart = 10 * time.Second

// keptByRoot is what a core that was started as root keeps: what confining plugins takes (namespaces, another user, their
// directories, ending them), and ports below 1024.
func keptByRoot() []privilege.Cap {
	return []privilege.Cap{
		privilege.SysAdmin, privilege.SetUID, privilege.SetGID, privilege.SetPCap, privilege.Chown, privilege.DACOverride,
		privilege.Kill, privilege.NetBindService,
	}
}

// stepDown is for a core that was started as root: it starts the wardens that are not there, and then executes itself
// anew with what it keeps, so that the process that parses what comes from networks can change nothing about interfaces.
// Without privileges, and the second time, it does nothing.
func stepDown(ctx context.Context, o runOptions, log *slog.Logger) error {
	held, err := privilege.Of(os.Getpid())
	if err != nil || !held.Effective.Has(privilege.NetAdmin) {
		return nil
	}
	if o.warden == "" {
		if err := startWardens(ctx, o, log); err != nil {
			return err
		}
	}
	return privilege.ReExec(keptByRoot(), os.Args, os.Environ())
}

// startWardens starts one per node that needs one. What is wrong with the configuration is said by who reads it next.
func startWardens(ctx context.Context, o runOptions, log *slog.Logger) error {
	cfg, problems := loadConfig(o.config)
	if cfg == nil || problems.HasErrors() {
		return nil
	}
	nodes, err := chooseNodes(cfg, o)
	if err != nil {
		return nil //nolint:nilerr // said again, and then it counts
	}
	for _, n := range nodes {
		policy, needed := needsWarden(cfg, n)
		if !needed {
			continue
		}
		if err := startWarden(ctx, o.state, policy, log); err != nil {
			return fmt.Errorf("node %s: %w", n, err)
		}
	}
	return nil
}

// needsWarden reports whether a node has interfaces that must be silent.
func needsWarden(cfg *config.Config, node string) (guard.Policy, bool) {
	policy := gateway.GuardPolicy(&gateway.Plan{Config: cfg}, node, time.Now())
	_, err := guard.New(guard.Options{Policy: policy, Log: slog.New(slog.DiscardHandler)})
	return policy, errors.Is(err, guard.ErrNoFence)
}

func startWarden(ctx context.Context, state string, policy guard.Policy, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(ctx, wardenStart)
	defer cancel()
	socket := gateway.WardenSocket(state, policy.Node)
	if c, err := warden.Dial(ctx, socket, log); err == nil {
		c.Close()
		return nil // one that has outlived the last core
	}
	dir := filepath.Dir(socket)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	log.Info("starting the guard's warden", "node", policy.Node, "socket", socket)
	return warden.Start(ctx, warden.Spawn{
		Socket: socket, State: dir, Node: policy.Node, UID: os.Geteuid(), Isolate: policy.Isolate,
	})
}
