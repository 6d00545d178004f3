package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/zlog"
)

// benchVersion is what the node says it is.
const benchVersion = "0.0.0-bench"

// core is `sluice run` without guard and sandbox: it keeps what it was started with, and confines no plugin.
func core(ctx context.Context, args []string) (err error) {
	f := flag.NewFlagSet(verbCore, flag.ContinueOnError)
	conf, state, plugins := f.String("config", "", "configuration"), f.String("state", "", "state directory"), f.String("plugins", "", "plugins")
	if err := f.Parse(args); err != nil {
		return err
	}
	log, err := zlog.New(os.Stderr, zlog.Text, "info")
	if err != nil {
		return err
	}
	host, err := pluginhost.New(pluginhost.Config{
		Dirs: []string{*plugins}, RuntimeDir: filepath.Join(*state, "run", node), Shim: shim(), Unconfined: true, Log: log,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, host.Close()) }()
	cfg, _, problems := config.Load(*conf, config.WithVersion(benchVersion))
	if err := problems.Err(); err != nil {
		return err
	}
	plan, problems := gateway.Check(ctx, cfg, host, node)
	if err := problems.Err(); err != nil {
		return err
	}
	g, err := gateway.New(ctx, gateway.Options{Plan: plan, Node: node, StateDir: *state, Version: benchVersion, Host: host, Log: log})
	if err != nil {
		return err
	}
	return errors.Join(g.Run(ctx), g.Close())
}

func shim() []string { return []string{"/proc/self/exe", verbShim} }
