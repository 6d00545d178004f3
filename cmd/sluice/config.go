package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/hcl/examples"
)

// systemPlugins is where an installed system keeps plugins.
const systemPlugins = "/usr/lib/sluice/plugins"

// pluginDirs are searched in order: what the operator named, beside this binary, the system's.
func pluginDirs(named string) []string {
	var dirs []string
	if named != "" {
		dirs = append(dirs, named)
	}
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	return append(dirs, systemPlugins)
}

// loadConfig reads a directory, or the quickstart that is built in.
func loadConfig(dir string) (*config.Config, config.Problems) {
	if dir == "" {
		cfg, _, problems := config.LoadFS(examples.Quickstart(), config.WithVersion(version))
		return cfg, problems
	}
	cfg, _, problems := config.Load(dir, config.WithVersion(version))
	return cfg, problems
}

// shimCommand makes this binary the shim.
func shimCommand() []string { return []string{"/proc/self/exe", shimVerb} }

// newHost makes a plugin host that only asks plugins what they are.
func newHost(dirs []string, runtimeDir string, exempt *gateway.Exemptions) (*pluginhost.Host, error) {
	return pluginhost.New(pluginhost.Config{
		Dirs: dirs, RuntimeDir: runtimeDir, Shim: shimCommand(), Log: slog.New(slog.DiscardHandler),
		Sandbox: pluginhost.Sandbox{Exempt: exempt.Sandbox},
	})
}

// checkConfig loads a configuration and checks it with its plugins.
func checkConfig(ctx context.Context, dir, node string, h *pluginhost.Host, exempt *gateway.Exemptions) (*gateway.Plan, config.Problems) {
	cfg, problems := loadConfig(dir)
	if cfg == nil || problems.HasErrors() {
		return nil, problems
	}
	exempt.Use(cfg)
	plan, more := gateway.Check(ctx, cfg, h, node)
	return plan, append(problems, more...)
}

// show prints problems for people, or as JSON.
func show(w io.Writer, problems config.Problems, asJSON bool) error {
	if asJSON {
		if problems == nil {
			problems = config.Problems{} // an empty list, not null
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(problems)
	}
	return problems.WriteText(w, false)
}

func validateCommand() *cobra.Command {
	var dir, plugins string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "validate [--config DIR]",
		Short: "Check a configuration for all nodes",
		Long:  "Check a configuration for all nodes: the files, the references, both ends of every diode, and every `config {}` with\nits plugin. Without --config the built-in quickstart is checked. Exit code 0: it can be used; 1: it cannot.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			runtimeDir, err := os.MkdirTemp("", "sluice-validate-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(runtimeDir) //nolint:errcheck // a temporary directory
			exempt := &gateway.Exemptions{}
			h, err := newHost(pluginDirs(plugins), runtimeDir, exempt)
			if err != nil {
				return err
			}
			defer h.Close() //nolint:errcheck // nothing is left running
			_, problems := checkConfig(cmd.Context(), dir, "", h, exempt)
			if err := show(cmd.OutOrStdout(), problems, asJSON); err != nil {
				return err
			}
			if problems.HasErrors() {
				return errShown
			}
			if !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), "configuration is valid")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "config", "", "configuration directory (default: the built-in quickstart)")
	cmd.Flags().StringVar(&plugins, "plugins", "", "directory with plugins, searched first")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func fmtCommand() *cobra.Command {
	check := false
	cmd := &cobra.Command{
		Use:   "fmt DIR",
		Short: "Rewrite configuration files in the usual layout",
		Long:  "Rewrite configuration files in the usual layout and print the names of those that changed. With --check nothing is\nwritten, and the exit code is 2 when something would change.",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			changed, err := config.FormatDir(args[0], !check)
			if err != nil {
				return err
			}
			for _, name := range changed {
				fmt.Fprintln(cmd.OutOrStdout(), name)
			}
			if check && len(changed) > 0 {
				return errChanges
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing, only say what would change")
	return cmd
}
