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
	cmd.Flags().StringVar(&config, "config", "", "configuration `directory`, for a node that does not run (default: that of the quickstart, for its state)")
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
		return o.examineAll(cmd, link, config, err)
	}
	var facts []console.Fact
	var refusals []error
	for _, n := range nodes {
		more, err := console.Client{Path: gateway.Socket(o.state, n)}.Doctor(cmd.Context(), link)
		var refused *console.Error
		switch {
		case errors.As(err, &refused):
			refusals = append(refusals, fmt.Errorf("node %s: %w", n, err))
			continue
		case err != nil:
			more = o.offline(cmd.Context(), n, link, config, err)
		}
		for i := range more {
			more[i].Node = n
		}
		facts = append(facts, more...)
	}
	if len(facts) == 0 {
		return nil, errors.Join(refusals...)
	}
	return facts, nil
}

// examineAll looks itself at the nodes that this machine is by its configuration: none runs.
func (o *diodeOptions) examineAll(cmd *cobra.Command, link, config string, none error) ([]console.Fact, error) {
	cfg, err := o.config(config)
	if err != nil {
		return nil, errors.Join(none, err)
	}
	nodes, err := chooseNodes(cfg, runOptions{config: config, node: o.node})
	if err != nil {
		return nil, errors.Join(none, err)
	}
	var facts []console.Fact
	for _, n := range nodes {
		more := o.offline(cmd.Context(), n, link, config, errors.New("nothing runs from state directory "+o.state))
		for i := range more {
			more[i].Node = n
		}
		facts = append(facts, more...)
	}
	return facts, nil
}
