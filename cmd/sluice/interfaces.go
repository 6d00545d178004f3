package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/guard"
)

func interfacesCommand() *cobra.Command {
	var o askOptions
	dir := ""
	cmd := &cobra.Command{
		Use:   "interfaces",
		Short: "List interfaces with what identifies them and what they may carry, and accept new ones",
		Long: "List the interfaces of a node: role, why, addresses, and the names by which a configuration can mean them: the device\n" +
			"path and the burned-in address stay when names change. An interface that appeared later is closed until it is\n" +
			"accepted or named in the configuration. With --config, no node need run: what each would be at a first start.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir != "" {
				return o.decidedInterfaces(cmd, dir)
			}
			return askAll(cmd, &o, interfacesOf, func(w io.Writer, n nodeInterfaces) error {
				return console.InterfacesText(w, n.Node, n.Interfaces)
			})
		},
	}
	o.flags(cmd, "node to ask (default: all that run)")
	cmd.Flags().StringVar(&dir, "config", "", "configuration `directory`: what it would make of this machine's interfaces")
	cmd.AddCommand(acceptInterfaceCommand(&o))
	return cmd
}

// decidedInterfaces shows what a configuration makes of the interfaces here, and then what of it does not fit them.
func (o *askOptions) decidedInterfaces(cmd *cobra.Command, dir string) error {
	cfg, problems := loadConfig(dir)
	if cfg == nil || problems.HasErrors() {
		return showAll(cmd, problems)
	}
	nodes, err := chooseNodes(cfg, runOptions{config: dir, node: o.node})
	if err != nil {
		return err
	}
	look := guard.Options{
		Policy: gateway.GuardPolicy(&gateway.Plan{Config: cfg}, nodes[0], time.Now()), Log: slog.New(slog.DiscardHandler), DecideOnly: true,
	}
	_, misfit := guard.New(look)
	look.Tolerant = true
	g, err := guard.New(look)
	if err != nil {
		return err
	}
	n := nodeInterfaces{Node: nodes[0], Interfaces: []console.Interface{}}
	for _, d := range g.Snapshot().Decisions {
		n.Interfaces = append(n.Interfaces, decided(d))
	}
	if err := o.print(cmd, n, func(w io.Writer) error { return console.InterfacesText(w, n.Node, n.Interfaces) }); err != nil {
		return err
	}
	return misfit
}

// decided is a decision in the console's words.
func decided(d guard.Decision) console.Interface {
	i := console.Interface{
		Name: d.Name, Index: d.Index, MAC: d.MAC, PermMAC: d.PermMAC, AltNames: d.AltNames, Path: d.Path, Kind: d.Kind,
		Up: d.Up, Loopback: d.Loopback, Role: d.Role.String(), Reason: d.Reason, Rules: d.Rules, Accepted: d.Accepted,
	}
	for _, a := range d.Addresses {
		i.Addresses = append(i.Addresses, a.String())
	}
	return i
}

// nodeInterfaces are the interfaces of one node, as JSON.
type nodeInterfaces struct {
	Node       string              `json:"node"`
	Interfaces []console.Interface `json:"interfaces"`
}

func interfacesOf(ctx context.Context, c console.Client) (nodeInterfaces, error) {
	st, err := console.Fetch(ctx, c.Path)
	return nodeInterfaces{st.Node, st.Guard.Interfaces}, err
}

func acceptInterfaceCommand(o *askOptions) *cobra.Command {
	force := false
	cmd := &cobra.Command{
		Use:   "accept NAME",
		Short: "Let an interface that appeared later serve endpoints",
		Long: "Let an interface that appeared later become a service interface, and remember it by its identity. First it is watched for\n" +
			"10 s: one that mostly carries traffic for other machines is a mirror port, and is refused. Who accepted it stands in\n" +
			"the audit log.",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: o.completeFresh,
		RunE: func(cmd *cobra.Command, args []string) error {
			node, client, err := o.theNode(nodesOf(o.state, o.node))
			if err != nil {
				return err
			}
			if !o.json {
				fmt.Fprintf(cmd.OutOrStdout(), "node %s: watching what arrives at %s for 10 s\n", node, args[0])
			}
			a, err := client.AcceptInterface(cmd.Context(), console.AcceptRequest{Name: args[0], Force: force})
			if err != nil {
				return fmt.Errorf("node %s: %w", node, err)
			}
			return o.print(cmd, a, func(w io.Writer) error { return console.AcceptedText(w, a) })
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "even if it looks like a mirror port")
	return cmd
}

// completeFresh offers the interfaces that wait to be accepted.
func (o *askOptions) completeFresh(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	const no = cobra.ShellCompDirectiveNoFileComp
	_, client, err := o.theNode(nodesOf(o.state, o.node))
	if err != nil || len(args) > 0 {
		return nil, no
	}
	all, _ := interfacesOf(cmd.Context(), client) // without an answer there is nothing to offer
	var names []string
	for _, i := range all.Interfaces {
		if i.Fresh {
			names = append(names, i.Name)
		}
	}
	return names, no
}
