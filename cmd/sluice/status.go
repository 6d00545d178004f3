package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

func statusCommand() *cobra.Command {
	var state, node string
	asJSON := false
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running node does",
		Long:  "Show what a running node does: interfaces and why they may carry what they carry, receivers, spool, links, sinks,\nplugins and counters. Without --node, every node that runs from the state directory is shown.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes, err := runningNodes(state, node)
			if err != nil {
				return err
			}
			for i, n := range nodes {
				if i > 0 && !asJSON {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				if err := showStatus(cmd, gateway.Socket(state, n), asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "state", defaultState(), "state directory")
	cmd.Flags().StringVar(&node, "node", "", "node to show")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one document per node")
	return cmd
}

func showStatus(cmd *cobra.Command, socket string, asJSON bool) error {
	if asJSON {
		raw, err := console.FetchRaw(cmd.Context(), socket)
		if err != nil {
			return err
		}
		_, err = cmd.OutOrStdout().Write(raw)
		return err
	}
	st, err := console.Fetch(cmd.Context(), socket)
	if err != nil {
		return err
	}
	return console.Text(cmd.OutOrStdout(), st)
}

// runningNodes finds the nodes that have a socket below the state directory.
func runningNodes(state, node string) ([]string, error) {
	if node != "" {
		return []string{node}, nil
	}
	found, err := filepath.Glob(filepath.Join(state, "*", console.SocketName))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no node runs from state directory %s: start one with `sluice run`, or name its directory with --state", state)
	}
	var nodes []string
	for _, f := range found {
		nodes = append(nodes, filepath.Base(filepath.Dir(f)))
	}
	return nodes, nil
}

// Where state lies when nobody says otherwise: the quickstart's directory below the current one when it is there, else
// the system's.
const (
	quickstartState = "var/quickstart"
	systemState     = "/var/lib/sluice"
)

func defaultState() string {
	if _, err := os.Stat(quickstartState); !errors.Is(err, fs.ErrNotExist) {
		return quickstartState
	}
	return systemState
}
