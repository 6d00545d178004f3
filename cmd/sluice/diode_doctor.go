package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

func doctorCommand(o *diodeOptions) *cobra.Command {
	var config string
	cmd := &cobra.Command{
		Use:   "doctor [LINK]",
		Short: "Examine a link: keys, interface, buffers, clock",
		Long: "Examine a link, or all links of the nodes here: keys, interface, carrier, MTU, neighbour, offloads, buffers, spool and\n" +
			"clock, and say what to do about what is wrong. Where the node does not run, what can be seen without it is examined.\n" +
			"Exit code 1: something is bad.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.doctor(cmd, strings.Join(args, ""), config) },
	}
	cmd.Flags().StringVar(&config, "config", "", "configuration directory, where the node does not run (default: the built-in quickstart)")
	return cmd
}

func (o *diodeOptions) doctor(cmd *cobra.Command, link, config string) error {
	facts, err := o.examine(cmd, link, config)
	if err != nil {
		return err
	}
	if err := o.print(cmd, facts, func(w io.Writer) error { return console.FactsText(w, facts) }); err != nil {
		return err
	}
	if console.Bad(facts) {
		return errShown
	}
	return nil
}

// examine asks the nodes that run, and looks itself where one does not.
func (o *diodeOptions) examine(cmd *cobra.Command, link, config string) ([]console.Fact, error) {
	nodes, err := nodesOf(o.state, o.node)
	if err != nil {
		return nil, err
	}
	var facts []console.Fact
	var errs []error
	for _, n := range nodes {
		more, err := console.Client{Path: gateway.Socket(o.state, n)}.Doctor(cmd.Context(), link)
		var refused *console.Error
		if errors.As(err, &refused) && refused.Code == console.CodeNoLink && len(nodes) > 1 {
			continue
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("node %s: %w", n, err))
		}
		facts = append(facts, more...)
	}
	return facts, errors.Join(errs...)
}
