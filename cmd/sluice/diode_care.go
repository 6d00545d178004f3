package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/hcl/value"
)

func acceptSenderCommand(o *diodeOptions) *cobra.Command {
	yes := false
	cmd := &cobra.Command{
		Use:   "accept-sender LINK",
		Short: "Accept a sender whose state went back, where the link ends",
		Long: "Accept a sender again whose session numbers went back, because its machine was replaced or restored from a backup.\n" +
			"Do it only when you know that this happened: somebody who has recorded old sessions of this link could otherwise play\n" +
			"them again. A new pairing (sluice diode pair) does without this step.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := o.endOf(cmd.Context(), args[0], receives)
			if err != nil {
				return err
			}
			if !yes {
				if err := console.LinksText(cmd.OutOrStdout(), e.node, []console.Link{e.link}); err != nil {
					return err
				}
				if err := confirm(cmd, "Was the sender of "+e.link.Name+" replaced or restored, and is it to be accepted again?"); err != nil {
					return err
				}
			}
			a, err := e.client.AcceptSender(cmd.Context(), e.link.Name)
			if err != nil {
				return err
			}
			return o.print(cmd, a, func(w io.Writer) error { return console.AcceptanceText(w, a) })
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return cmd
}

// testFlags are the flags of `sluice diode test`.
type testFlags struct {
	rates  []string
	each   time.Duration
	report bool
}

// maxEach bounds a step of a test: data wait meanwhile (ours).
const maxEach = time.Minute

func selfTestCommand(o *diodeOptions) *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test LINK",
		Short: "Measure a link: send a pattern where it begins, see with --report what arrived where it ends",
		Long: "Send a numbered pattern at rising rates, on the node where the link begins; data wait meanwhile. Then ask the node where\n" +
			"it ends with --report: loss, how it clusters, reordering and latency per rate, what its disk takes, and which rate and\n" +
			"protection that suggests.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.report {
				return o.testReport(cmd, args[0])
			}
			return o.selfTest(cmd, args[0], f)
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&f.rates, "rates", nil, "rates on the wire, as in 10Mbit,100Mbit (default: a ladder up to the configured rate)")
	flags.DurationVar(&f.each, "each", 2*time.Second, "how long at each rate")
	flags.BoolVar(&f.report, "report", false, "on the receiving node: what arrived of the newest test")
	cmd.MarkFlagsMutuallyExclusive("report", "rates")
	cmd.MarkFlagsMutuallyExclusive("report", "each")
	return cmd
}

func (o *diodeOptions) selfTest(cmd *cobra.Command, link string, f testFlags) error {
	req := console.TestRequest{EachSeconds: f.each.Seconds()}
	if f.each <= 0 || f.each > maxEach {
		return fmt.Errorf("--each %s: more than 0, at most %s", f.each, maxEach)
	}
	for _, r := range f.rates {
		bits, err := value.ParseBitRate(r)
		if err == nil && bits <= 0 {
			err = errors.New("it must be more than 0")
		}
		if err != nil {
			return fmt.Errorf("--rates: %q is no rate: %w: write it as in 10Mbit", r, err)
		}
		req.RatesBits = append(req.RatesBits, uint64(bits))
	}
	e, err := o.endOf(cmd.Context(), link, sends)
	if err != nil {
		return err
	}
	req.Link = e.link.Name
	if !o.json {
		fmt.Fprintf(cmd.OutOrStdout(), "%s: sending the pattern, %s at each rate; data wait meanwhile. Ctrl-C ends it.\n", e.link.Name, f.each)
	}
	sent, err := e.client.Test(cmd.Context(), req)
	if err != nil {
		return err
	}
	return o.print(cmd, sent, func(w io.Writer) error { return console.TestText(w, sent) })
}

func (o *diodeOptions) testReport(cmd *cobra.Command, link string) error {
	e, err := o.endOf(cmd.Context(), link, receives)
	if err != nil {
		return err
	}
	r, err := e.client.TestReport(cmd.Context(), e.link.Name)
	if err != nil {
		return err
	}
	return o.print(cmd, r, func(w io.Writer) error { return console.TestReportText(w, r) })
}
