package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/pluginhost"
	"github.com/sluice-gateway/sluice/hcl/schema"
)

func pluginCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{Use: "plugin", Short: "Look at installed plugins"}
	cmd.PersistentFlags().StringVar(&dir, "plugins", "", "directory with plugins, searched first")
	withHost := func(f func(*cobra.Command, *pluginhost.Host, []string) error) func(*cobra.Command, []string) error {
		return func(cmd *cobra.Command, args []string) error {
			runtimeDir, err := os.MkdirTemp("", "sluice-plugin-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(runtimeDir) //nolint:errcheck // a temporary directory
			h, err := newHost(pluginDirs(dir), runtimeDir, &gateway.Exemptions{})
			if err != nil {
				return err
			}
			defer h.Close() //nolint:errcheck // nothing is left running
			return f(cmd, h, args)
		}
	}
	cmd.AddCommand(
		&cobra.Command{Use: "list", Short: "List installed plugins", Args: cobra.NoArgs, RunE: withHost(listPlugins)},
		&cobra.Command{Use: "docs KIND NAME", Short: "Print what stands in a plugin's config {}", Args: cobra.ExactArgs(2), RunE: withHost(pluginDocs)},
	)
	return cmd
}

func listPlugins(cmd *cobra.Command, h *pluginhost.Host, _ []string) error {
	w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, p := range h.Installed() {
		info, err := h.Describe(cmd.Context(), p.Kind, p.Name)
		version := info.Version
		if err != nil {
			version = "does not answer: " + err.Error()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", p.Kind, p.Name, version, p.Path)
	}
	return w.Flush()
}

func pluginDocs(cmd *cobra.Command, h *pluginhost.Host, args []string) error {
	info, err := h.Describe(cmd.Context(), args[0], args[1])
	if err != nil {
		return err
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), schema.Markdown(info.Schema))
	return err
}
