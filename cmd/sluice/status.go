package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

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
		Long:  "Show what a running node does: interfaces and why they may carry what they carry, receivers, spool, links, sinks,\nplugins and counters. Without --node, every node that runs from the state directory is shown.\nExit code 1: a node does not answer; those that do are shown.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes, err := nodesOf(state, node)
			if err != nil {
				return err
			}
			return showNodes(cmd, state, nodes, asJSON)
		},
	}
	cmd.Flags().StringVar(&state, "state", defaultState(), "state directory")
	cmd.Flags().StringVar(&node, "node", "", "node to show")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, one document per node")
	return cmd
}

// showNodes shows all nodes that answer, and then says which do not: a socket that a killed node left hides no other.
func showNodes(cmd *cobra.Command, state string, nodes []string, asJSON bool) error {
	var dead []error
	shown := 0
	for _, n := range nodes {
		raw, err := console.FetchRaw(cmd.Context(), gateway.Socket(state, n))
		if err != nil {
			dead = append(dead, fmt.Errorf("node %s: %w", n, err))
			continue
		}
		if shown > 0 && !asJSON {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := showStatus(cmd.OutOrStdout(), raw, asJSON); err != nil {
			return fmt.Errorf("node %s: %w", n, err)
		}
		shown++
	}
	return errors.Join(dead...)
}

func showStatus(w io.Writer, raw []byte, asJSON bool) error {
	if asJSON {
		_, err := w.Write(raw)
		return err
	}
	var st console.Status
	if err := json.Unmarshal(raw, &st); err != nil {
		return err
	}
	return console.Text(w, st)
}

// nodesOf finds the nodes that have a socket below the state directory.
func nodesOf(state, node string) ([]string, error) {
	if node != "" {
		return []string{node}, nil
	}
	entries, err := os.ReadDir(state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var nodes []string
	for _, e := range entries {
		if _, err := os.Lstat(gateway.Socket(state, e.Name())); err == nil {
			nodes = append(nodes, e.Name())
		}
	}
	if len(nodes) == 0 {
		return nil, fmt.Errorf("no node runs from state directory %s: start one with `sluice run`, or name its directory with --state", state)
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
