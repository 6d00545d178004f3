package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/zlog"
)

// runOptions are the flags of `sluice run`.
type runOptions struct {
	config, node, state, plugins string
	logFormat, logLevel          string
	warden                       string
	allNodes                     bool
}

// quickstart reports whether the built-in configuration is run.
func (o runOptions) quickstart() bool { return o.config == "" }

func runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run [--config DIR] [--node NAME] [--state DIR]",
		Short: "Run a node",
		Long: "Run a node until it is told to stop by SIGINT or SIGTERM.\n\n" +
			"Without --config the built-in quickstart runs: two nodes in one process, joined by a one-way link over loopback, with\n" +
			"all state in " + quickstartState + ". A site gives --config and, where this machine is not called like its node, --node.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return run(cmd, o) },
	}
	o.flags(cmd)
	return cmd
}

// flags adds the words of run to a command.
func (o *runOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "configuration directory (default: the built-in quickstart)")
	f.StringVar(&o.node, "node", "", "node to run (default: the only one, or the one named like this machine)")
	f.StringVar(&o.state, "state", "", "state directory (default: "+systemState+", for the quickstart "+quickstartState+")")
	f.StringVar(&o.plugins, "plugins", "", "directory with plugins, searched first")
	f.StringVar(&o.logFormat, "log-format", zlog.Text, "log format: text or json")
	f.StringVar(&o.logLevel, "log-level", "info", "least level logged: debug, info, warn or error")
	f.StringVar(&o.warden, "warden", "", "socket of the guard's warden (default: below the state directory; a node that is started as root starts it)")
	f.BoolVar(&o.allNodes, "all-nodes", false, "run all nodes of the configuration in this process, to try it out")
}

func run(cmd *cobra.Command, o runOptions) error {
	if o.state == "" {
		o.state = systemState
		if o.quickstart() {
			o.state = quickstartState
		}
	}
	state, err := filepath.Abs(o.state)
	if err != nil {
		return err
	}
	o.state = state
	level := o.logLevel
	if o.quickstart() && !cmd.Flags().Changed("log-level") {
		level = "warn" // the quickstart shows records; what is wrong is still said
	}
	log, err := zlog.New(cmd.ErrOrStderr(), o.logFormat, level)
	if err != nil {
		return err
	}
	if err := stepDown(cmd.Context(), o, log); err != nil {
		return err
	}
	exempt := &gateway.Exemptions{}
	host, err := pluginhost.New(hostConfig(o, exempt, log))
	if err != nil {
		return err
	}
	defer host.Close() //nolint:errcheck // the process ends
	plan, nodes, err := planFor(cmd, o, host, exempt, log)
	if err != nil {
		return err
	}
	return runNodes(cmd, o, plan, nodes, host, log)
}

// hostConfig is the plugin host of a daemon. Its limits are those of the node, when it is one.
func hostConfig(o runOptions, exempt *gateway.Exemptions, log *slog.Logger) pluginhost.Config {
	return pluginhost.Config{
		Dirs: pluginDirs(o.plugins), RuntimeDir: filepath.Join(o.state, "run", hostDirName(o)), Shim: shimCommand(), Log: log,
		Sandbox: pluginhost.Sandbox{Exempt: exempt.Sandbox, Limits: limitsOf(o)},
	}
}

// limitsOf reads the limits of plugins from the configuration. One that cannot be read is refused by who reads it next.
func limitsOf(o runOptions) pluginhost.Limits {
	cfg, _ := loadConfig(o.config)
	if cfg == nil {
		return pluginhost.Limits{}
	}
	nodes, err := chooseNodes(cfg, o)
	if err != nil || len(nodes) == 0 {
		return pluginhost.Limits{}
	}
	n, err := cfg.FindNode(nodes[0])
	if err != nil {
		return pluginhost.Limits{}
	}
	return pluginhost.Limits{Memory: n.Sandbox.Memory, PIDs: int(n.Sandbox.Processes), CPU: n.Sandbox.CPUs}
}

// hostDirName keeps the sockets of two nodes apart that run from one state directory.
func hostDirName(o runOptions) string {
	if o.node != "" {
		return o.node
	}
	return "all"
}

// planFor checks the configuration. An exception that has ended closes its component and nothing else.
func planFor(cmd *cobra.Command, o runOptions, h *pluginhost.Host, exempt *gateway.Exemptions, log *slog.Logger) (*gateway.Plan, []string, error) {
	cfg, problems := loadConfig(o.config)
	if cfg == nil || problems.HasErrors() {
		return nil, nil, showAll(cmd, problems)
	}
	exempt.Use(cfg)
	nodes, err := chooseNodes(cfg, o)
	if err != nil {
		return nil, nil, err
	}
	node := ""
	if len(nodes) == 1 {
		node = nodes[0]
	}
	plan, more := gateway.Check(cmd.Context(), cfg, h, node)
	problems = append(problems, more...)
	for i := range problems {
		if problems[i].Rule == config.RuleExceptionEnded {
			problems[i].Severity = config.Warning
			plan.Close(problems[i].Component)
		}
	}
	if problems.HasErrors() {
		return nil, nil, showAll(cmd, problems)
	}
	for _, p := range problems {
		log.Warn("configuration: " + p.Error())
	}
	return plan, nodes, nil
}

func showAll(cmd *cobra.Command, problems config.Problems) error {
	if err := show(cmd.ErrOrStderr(), problems, false); err != nil {
		return err
	}
	return errShown
}

// chooseNodes decides which nodes this process is.
func chooseNodes(cfg *config.Config, o runOptions) ([]string, error) {
	var all []string
	for _, n := range cfg.Nodes {
		all = append(all, n.Name)
	}
	host, _ := os.Hostname()
	switch {
	case o.node != "" && o.allNodes:
		return nil, errors.New("--node and --all-nodes exclude each other")
	case o.node != "":
		_, err := cfg.FindNode(o.node)
		return []string{o.node}, err
	case o.allNodes || o.quickstart() || len(all) == 1:
		return all, nil
	case slices.Contains(all, host):
		return []string{host}, nil
	}
	return nil, fmt.Errorf("which node is this machine (%s)? name one of %s with --node", host, strings.Join(all, ", "))
}

// runNodes runs the nodes until the command's context ends or one of them fails.
func runNodes(cmd *cobra.Command, o runOptions, plan *gateway.Plan, nodes []string, host *pluginhost.Host, log *slog.Logger) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	var gateways []*gateway.Gateway
	var err error
	for _, n := range nodes {
		g, nerr := gateway.New(ctx, gateway.Options{
			Plan: plan, Node: n, StateDir: o.state, Version: version, Host: host, Warden: o.warden, BothEnds: len(nodes) > 1, Log: log,
		})
		if nerr != nil {
			err = fmt.Errorf("node %s: %w", n, nerr)
			break
		}
		gateways = append(gateways, g)
	}
	if err == nil {
		err = runAll(ctx, cancel, cmd, o, gateways)
	}
	for _, g := range gateways {
		err = errors.Join(err, g.Close())
	}
	return err
}

func runAll(ctx context.Context, cancel context.CancelFunc, cmd *cobra.Command, o runOptions, gateways []*gateway.Gateway) error {
	var wg sync.WaitGroup
	errs := make([]error, len(gateways))
	for i, g := range gateways {
		wg.Go(func() {
			errs[i] = g.Run(ctx)
			cancel() // nodes of one process stand and fall together
		})
	}
	if o.quickstart() {
		wg.Go(func() { showQuickstart(ctx, cmd.OutOrStdout(), o.state, gateways) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
