package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
)

func guardCommand() *cobra.Command {
	var o askOptions
	cmd := &cobra.Command{
		Use:   "guard",
		Short: "Show and test what keeps monitoring points silent, and reset a trip",
		Long: "Look after what keeps monitoring points and diode interfaces silent: drops that stand before them, settings, and the\n" +
			"counters that show whether a frame has left all the same. What may have left trips: the interface is set down, and\n" +
			"nothing is accepted until an operator has found out why and resets it.",
	}
	o.flags(cmd, "node to ask (default: all that run)")
	cmd.PersistentFlags().StringVar(&o.warden, "warden", "", "`socket` of the warden, which is asked where the node does not run (default: where it usually is)")
	cmd.AddCommand(guardStatusCommand(&o), guardAuditCommand(&o), guardTestCommand(&o), guardResetCommand(&o), guardReleaseCommand(&o), guardOrderCommand(&o))
	return cmd
}

func guardStatusCommand(o *askOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show interfaces, what stands before them, trips, and what was set right again",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes, err := o.guardedNodes()
			if err != nil {
				return err
			}
			_, err = askEach(cmd, o, nodes, o.guardOf, func(w io.Writer, g nodeGuard) error { return console.GuardText(w, g.Node, g.Guard) })
			return err
		},
	}
}

// nodeGuard is the guard of one node, as JSON.
type nodeGuard struct {
	Node string `json:"node"`
	console.Guard
}

// guardOf asks the node, or its warden where it does not run.
func (o *askOptions) guardOf(ctx context.Context, node string) (nodeGuard, error) {
	st, err := console.Fetch(ctx, gateway.Socket(o.state, node))
	if !isAway(err) {
		return nodeGuard{node, st.Guard}, err
	}
	r, werr := o.wardenReport(ctx, node, false)
	if werr != nil {
		return nodeGuard{}, errors.Join(err, werr)
	}
	return nodeGuard{node, r.Guard}, nil
}

func guardAuditCommand(o *askOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "audit",
		Short: "Read everything back from the kernel now, and say what is not as it must be",
		Long: "Read drops, filters, settings and counters back from the kernel now, and say what is not as it must be.\n" +
			"Exit code 1: something is not.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.guardTest(cmd, console.GuardTestRequest{}) },
	}
}

func guardTestCommand(o *askOptions) *cobra.Command {
	return &cobra.Command{
		Use:   "test",
		Short: "Gather evidence for 10 s: read back, try the drops, look for mirrored traffic on service interfaces",
		Long: "Gather evidence: read everything back from the kernel, hand frames to each guarded interface that must not leave it, and\n" +
			"watch for 10 s whether somebody mirrors traffic to a service interface. Nothing leaves a guarded interface by this.\n" +
			"Exit code 1: something is not as it must be.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.guardTest(cmd, console.GuardTestRequest{Watch: true})
		},
	}
}

// guardTest shows the evidence of all nodes; a problem of one makes the exit code 1.
func (o *askOptions) guardTest(cmd *cobra.Command, r console.GuardTestRequest) error {
	nodes, err := o.guardedNodes()
	if err != nil {
		return err
	}
	got, err := askEach(cmd, o, nodes, func(ctx context.Context, node string) (console.GuardReport, error) {
		report, err := console.Client{Path: gateway.Socket(o.state, node)}.GuardTest(ctx, r)
		if !isAway(err) {
			return report, err
		}
		report, werr := o.wardenReport(ctx, node, r.Watch)
		if werr != nil {
			return report, errors.Join(err, werr)
		}
		return report, nil
	}, console.GuardReportText)
	if err == nil && slices.ContainsFunc(got, func(r console.GuardReport) bool { return len(r.Problems()) > 0 }) {
		return errShown
	}
	return err
}

func guardResetCommand(o *askOptions) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:   "reset --reason TEXT",
		Short: "Let what has tripped go on, after its cause was found",
		Long: "Let interfaces that have tripped go on: they are fenced anew while they are down, and set up. Find the cause first;\n" +
			"what is still wrong trips again. Who resets it and why stands in the audit log.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			node, client, err := o.theNode(o.guardedNodes())
			if err != nil {
				return err
			}
			g, err := o.resetGuard(cmd.Context(), node, client, reason)
			if err != nil {
				return fmt.Errorf("node %s: %w", node, err)
			}
			if err := o.print(cmd, g, func(w io.Writer) error { return console.GuardText(w, node, g) }); err != nil {
				return err
			}
			if len(g.Trips) > 0 {
				return fmt.Errorf("node %s: %s tripped again: %s", node, g.Trips[0].Interface, g.Trips[0].Cause)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "what was found, for the audit log")
	return cmd
}

func guardReleaseCommand(o *askOptions) *cobra.Command {
	reason := ""
	cmd := &cobra.Command{
		Use:   "release --reason TEXT",
		Short: "Take all drops away, when a node is given up: nothing keeps its interfaces silent any more",
		Long: "Take the drops before all interfaces of a node away, and forget its policy. Its interfaces may send and answer from then\n" +
			"on: pull the cables of monitoring points first. The node must have been stopped, or it would fence them again.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needReason(reason); err != nil {
				return err
			}
			node, _, err := o.theNode(o.guardedNodes())
			if err != nil {
				return err
			}
			if err := o.releaseWarden(cmd.Context(), node, reason); err != nil {
				return err
			}
			return o.print(cmd, map[string]any{"node": node, "released": true}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "node %s: released: nothing keeps its interfaces silent any more\n", node)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the audit log")
	return cmd
}

func needReason(reason string) error {
	if strings.TrimSpace(reason) == "" {
		return errors.New("say why with --reason: it stands in the audit log")
	}
	return nil
}
