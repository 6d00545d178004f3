package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// askOptions are the flags of all verbs that ask a node.
type askOptions struct {
	state, node string
	warden      string // socket; only `sluice guard` has it
	json        bool
}

// flags adds them to a command and those below it.
func (o *askOptions) flags(cmd *cobra.Command, node string) {
	f := cmd.PersistentFlags()
	f.StringVar(&o.state, "state", defaultState(), "state directory")
	f.StringVar(&o.node, "node", "", node)
	f.BoolVar(&o.json, "json", false, "print JSON")
	_ = cmd.RegisterFlagCompletionFunc("node", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) { // the flag is there
		nodes, _ := nodesOf(o.state, "") // nothing to complete then
		return nodes, cobra.ShellCompDirectiveNoFileComp
	})
}

// print writes an answer as JSON, or for people.
func (o *askOptions) print(cmd *cobra.Command, answer any, text func(io.Writer) error) error {
	if !o.json {
		return text(cmd.OutOrStdout())
	}
	enc := json.NewEncoder(cmd.OutOrStdout())
	enc.SetIndent("", "  ")
	return enc.Encode(answer)
}

// theNode is the one node that a verb is about which changes something.
func (o *askOptions) theNode(nodes []string, err error) (string, console.Client, error) {
	if err != nil {
		return "", console.Client{}, err
	}
	if len(nodes) > 1 {
		return "", console.Client{}, fmt.Errorf("several nodes run from %s: say which with --node: %s", o.state, strings.Join(nodes, ", "))
	}
	return nodes[0], console.Client{Path: gateway.Socket(o.state, nodes[0])}, nil
}

// askAll asks all nodes that run, shows what those say that answer, and then says which do not.
func askAll[T any](cmd *cobra.Command, o *askOptions, ask func(context.Context, console.Client) (T, error), text func(io.Writer, T) error) error {
	nodes, err := nodesOf(o.state, o.node)
	if err != nil {
		return err
	}
	_, err = askEach(cmd, o, nodes, func(ctx context.Context, node string) (T, error) {
		return ask(ctx, console.Client{Path: gateway.Socket(o.state, node)})
	}, text)
	return err
}

// askEach shows what is said for each of some nodes, and then for which nobody answers.
func askEach[T any](cmd *cobra.Command, o *askOptions, nodes []string, ask func(context.Context, string) (T, error), text func(io.Writer, T) error) ([]T, error) {
	var got []T
	var errs []error
	for _, n := range nodes {
		v, err := ask(cmd.Context(), n)
		if err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n, err))
			continue
		}
		if len(got) > 0 && !o.json {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		if err := o.print(cmd, v, func(w io.Writer) error { return text(w, v) }); err != nil {
			return got, err
		}
		got = append(got, v)
	}
	return got, errors.Join(errs...)
}
