package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// dated is an exception with what is left of it, as JSON.
type dated struct {
	console.Exception

	DaysLeft int `json:"days_left"`
}

func exceptionsCommand() *cobra.Command {
	var o askOptions
	dir := ""
	cmd := &cobra.Command{
		Use:   "exceptions",
		Short: "List the written weakenings of defences, and how many days each still holds",
		Long: "List the exceptions in force on the nodes that run, or with --config all that a configuration writes: what each allows,\n" +
			"on what, why, who approved it, and the days that are left. At its end the component closes; it does not widen.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dir != "" {
				return o.writtenExceptions(cmd, dir)
			}
			return askAll(cmd, &o, exceptionsOf, exceptionsText)
		},
	}
	o.flags(cmd, "node to ask (default: all that run)")
	cmd.Flags().StringVar(&dir, "config", "", "configuration `directory`: list what stands there, ended ones too")
	return cmd
}

// nodeExceptions are those of one node, as JSON.
type nodeExceptions struct {
	Node       string  `json:"node,omitempty"` // none: they were read from a configuration
	Exceptions []dated `json:"exceptions"`
}

func exceptionsOf(ctx context.Context, c console.Client) (nodeExceptions, error) {
	st, err := console.Fetch(ctx, c.Path)
	return nodeExceptions{st.Node, withDays(st.Exceptions)}, err
}

func withDays(all []console.Exception) []dated {
	out := []dated{}
	for _, e := range all {
		out = append(out, dated{e, e.DaysLeft(time.Now())})
	}
	return out
}

func exceptionsText(w io.Writer, n nodeExceptions) error {
	var plain []console.Exception
	for _, e := range n.Exceptions {
		plain = append(plain, e.Exception)
	}
	return console.ExceptionsText(w, "node "+n.Node, plain, time.Now())
}

// writtenExceptions lists those of a configuration, for all nodes.
func (o *askOptions) writtenExceptions(cmd *cobra.Command, dir string) error {
	cfg, problems := loadConfig(dir)
	if cfg == nil {
		return fmt.Errorf("configuration: %s", problems)
	}
	all := written(cfg.Exceptions)
	return o.print(cmd, nodeExceptions{Exceptions: withDays(all)}, func(w io.Writer) error {
		return console.ExceptionsText(w, "configuration "+dir, all, time.Now())
	})
}

func written(all []config.Exception) []console.Exception {
	var out []console.Exception
	for _, e := range all {
		out = append(out, console.Exception{
			Name: e.Name, Allows: e.Allows, On: e.On, Reason: e.Reason, ApprovedBy: e.ApprovedBy, Until: e.Until.Format(time.DateOnly),
		})
	}
	return out
}
