package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/gateway/guard/warden"
)

// ordered is what `guard order` has done, as JSON.
type ordered struct {
	Node   string `json:"node"`
	Policy string `json:"policy"`
	// Weaker says in words what was guarded before this order and is not now.
	Weaker []string `json:"weaker"`
}

func guardOrderCommand(ask *askOptions) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "order --config DIR [--node NAME] [--warden SOCKET]",
		Short: "As root: put what a configuration says of interfaces into force, also where it guards less than before",
		Long: "Tell the warden what a configuration says of this node's interfaces. The node itself may only order what guards the same\n" +
			"or more, so that who takes it over cannot take drops away; what guards less, root orders with this verb. sluice.service\n" +
			"does it at each start, with the words of `sluice run`. Ports of receivers that were dropped on other interfaces stay so\n" +
			"while the configuration has them; the node adds new ones. What this order weakens is printed and stands in the warden's log.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return orderGuard(cmd, ask, o) },
	}
	o.flags(cmd)
	for _, name := range []string{"plugins", "log-format", "log-level", "all-nodes"} { // taken because they are words of run, and of no use here
		_ = cmd.Flags().MarkHidden(name) // it is there
	}
	return cmd
}

func orderGuard(cmd *cobra.Command, ask *askOptions, o runOptions) error {
	if o.config == "" {
		return errors.New("say which configuration with --config DIR")
	}
	if err := onlyRootWrites(o.config); err != nil && os.Geteuid() == 0 {
		return fmt.Errorf("guard order: %w: who may write there could have less guarded", err)
	}
	policy, ports, err := policyOf(cmd, o)
	if err != nil {
		return err
	}
	where := askOptions{state: o.state, warden: o.warden}
	if where.state == "" {
		where.state = systemState
	}
	out := ordered{Node: policy.Node, Policy: policy.String(), Weaker: []string{}}
	err = where.withWarden(cmd.Context(), policy.Node, func(ctx context.Context, c *warden.Client) error {
		weaker, err := c.Revise(ctx, policy, ports)
		out.Weaker = append(out.Weaker, weaker...)
		return err
	})
	if err != nil {
		return fmt.Errorf("node %s: %w", policy.Node, err)
	}
	return ask.print(cmd, out, out.text)
}

// policyOf reads the policy of one node, and on which ports its receivers listen. Their networks only plugins know.
func policyOf(cmd *cobra.Command, o runOptions) (policy guard.Policy, ports []uint16, err error) {
	cfg, problems := loadConfig(o.config)
	if cfg == nil || problems.HasErrors() {
		return policy, nil, showAll(cmd, problems)
	}
	nodes, err := chooseNodes(cfg, o)
	if err == nil && len(nodes) != 1 {
		err = fmt.Errorf("a warden guards for one node: say which with --node: %s", strings.Join(nodes, ", "))
	}
	if err != nil {
		return policy, nil, err
	}
	for _, r := range cfg.For(nodes[0]).Receivers {
		ports = append(ports, r.Port)
	}
	return gateway.GuardPolicy(&gateway.Plan{Config: cfg}, nodes[0], time.Now()), ports, nil
}

// text is the order for people.
func (o ordered) text(w io.Writer) error {
	_, err := fmt.Fprintf(w, "ordered: %s\n", o.Policy)
	for _, what := range o.Weaker {
		_, werr := fmt.Fprintf(w, "  less than before: %s\n", what)
		err = errors.Join(err, werr)
	}
	return err
}
