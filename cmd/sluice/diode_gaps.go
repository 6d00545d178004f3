package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/diode/report"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// gapsFlags are the flags of `sluice diode gaps`.
type gapsFlags struct {
	class, report, explain string
	all, short             bool
	limit                  int
}

func gapsCommand(o *diodeOptions) *cobra.Command {
	var f gapsFlags
	cmd := &cobra.Command{
		Use:   "gaps LINK",
		Short: "Show what is missing, where the link ends; or what it held, where it begins",
		Long: "Show what is missing of a link, on the node where it ends, and what to type on the other side to have it sent again.\n" +
			"With --report the same is written to a file that is carried there. With --explain, on the node where the link begins,\n" +
			"show what the batches of some ranges held.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.gaps(cmd, args[0], f) },
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.all, "all", false, "also what came after all, and what never will")
	flags.StringVar(&f.class, "class", "", "only this class: bulk or critical")
	flags.IntVar(&f.limit, "limit", 0, "at most this many ranges")
	flags.BoolVar(&f.short, "short", false, "only what to type behind `sluice diode resend LINK`")
	flags.StringVar(&f.report, "report", "", "write a report of all that is missing to this new `file`")
	flags.StringVar(&f.explain, "explain", "", "on the sending node: say what these `ranges` held, as in 4711-4723,4801")
	cmd.MarkFlagsMutuallyExclusive("short", "report", "explain")
	cmd.MarkFlagsMutuallyExclusive("all", "short")
	return cmd
}

func (o *diodeOptions) gaps(cmd *cobra.Command, link string, f gapsFlags) error {
	if f.explain != "" {
		return o.explain(cmd, link, f)
	}
	e, err := o.endOf(cmd.Context(), link, receives)
	if err != nil {
		return err
	}
	if f.report != "" {
		return o.report(cmd, e, f.report)
	}
	list, err := e.client.Gaps(cmd.Context(), console.GapsQuery{Link: e.link.Name, Class: f.class, All: f.all, Limit: f.limit})
	if err != nil {
		return err
	}
	if f.short {
		lines := console.ShortGaps(list)
		return o.print(cmd, lines, func(w io.Writer) error {
			for _, l := range lines {
				fmt.Fprintln(w, l)
			}
			return nil
		})
	}
	return o.print(cmd, list, func(w io.Writer) error { return console.GapsText(w, list) })
}

// report writes the file that the near side takes.
func (o *diodeOptions) report(cmd *cobra.Command, e end, path string) error {
	content, err := e.client.GapReport(cmd.Context(), e.link.Name)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	there, _, _ := strings.Cut(e.link.Peer, " ")
	answer := map[string]any{"file": path, "bytes": len(content), "link": e.link.Name, "carry_to": there}
	return o.print(cmd, answer, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %d bytes. Carry it to %s, and there:\n  sluice diode resend %s --gaps %s\n", path, len(content), there, e.link.Name, path)
		return err
	})
}

func (o *diodeOptions) explain(cmd *cobra.Command, link string, f gapsFlags) error {
	if _, err := report.ParseRanges(f.explain); err != nil {
		return err
	}
	e, err := o.endOf(cmd.Context(), link, sends)
	if err != nil {
		return err
	}
	told, err := e.client.Explain(cmd.Context(), console.ExplainRequest{Link: e.link.Name, Class: f.class, Ranges: f.explain})
	if err != nil {
		return err
	}
	return o.print(cmd, told, func(w io.Writer) error { return console.ExplainText(w, told) })
}
