package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/diode/report"
	"github.com/sluice-gateway/sluice/gateway/console"
)

// maxReport bounds a report file, bytes (docs/formats/gap-report.md).
const maxReport = 1 << 20

// resendFlags are the flags of `sluice diode resend`.
type resendFlags struct {
	class, gaps       string
	yes, dry, noWatch bool
}

func resendCommand(o *diodeOptions) *cobra.Command {
	var f resendFlags
	cmd := &cobra.Command{
		Use:   "resend LINK RANGES | resend LINK --gaps FILE",
		Short: "Send batches again, where the link begins",
		Long: "Send batches again that the far side has missed: typed ranges, or a report that was carried here. The total is shown\n" +
			"first. Live traffic goes first, and what is sent again keeps to resend_rate. What arrives is delivered marked as late.",
		Example: "  sluice diode resend plant-to-dmz 4711-4723,4801\n  sluice diode resend plant-to-dmz --gaps gaps.bin",
		Args:    cobra.RangeArgs(1, 2),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.resend(cmd, args, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.gaps, "gaps", "", "report `file` of the far side")
	flags.StringVar(&f.class, "class", console.DefaultClass, "class of the ranges: bulk or critical")
	flags.BoolVar(&f.yes, "yes", false, "do not ask")
	flags.BoolVar(&f.dry, "dry-run", false, "only show the total")
	flags.BoolVar(&f.noWatch, "no-wait", false, "do not wait until all is sent")
	cmd.MarkFlagsMutuallyExclusive("gaps", "class")
	cmd.MarkFlagsMutuallyExclusive("yes", "dry-run")
	return cmd
}

func (o *diodeOptions) resend(cmd *cobra.Command, args []string, f resendFlags) error {
	req, err := resendRequest(args, f)
	if err != nil {
		return err
	}
	e, err := o.endOf(cmd.Context(), args[0], sends)
	if err != nil {
		return err
	}
	req.Link, req.DryRun = e.link.Name, true
	total, err := e.client.Resend(cmd.Context(), req)
	if err != nil {
		return err
	}
	if f.dry || !o.json {
		if err := o.print(cmd, total, func(w io.Writer) error { return console.ResendText(w, total) }); err != nil || f.dry {
			return err
		}
	}
	if total.Batches == 0 {
		return fmt.Errorf("%s: nothing of this is kept here any more: nothing was sent", e.link.Name)
	}
	if !f.yes {
		if err := confirm(cmd, "Send this again?"); err != nil {
			return err
		}
	}
	req.DryRun = false
	return o.queue(cmd, e, req, f)
}

// resendRequest reads what is asked for, and refuses what cannot be meant before any node is asked.
func resendRequest(args []string, f resendFlags) (console.ResendRequest, error) {
	var r console.ResendRequest
	switch {
	case f.gaps != "" && len(args) == 2:
		return r, errors.New("resend: either ranges or --gaps FILE, not both")
	case f.gaps != "":
		b, err := readBounded(f.gaps, maxReport)
		r.Report = b
		return r, err
	case len(args) < 2:
		return r, errors.New(`resend: say which: ranges as in "4711-4723,4801", or --gaps FILE`)
	}
	if _, err := report.ParseRanges(args[1]); err != nil {
		return r, err
	}
	r.Ranges, r.Class = args[1], f.class
	return r, nil
}

// readBounded reads a file that somebody carried here.
func readBounded(path string, most int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	b, err := io.ReadAll(io.LimitReader(file, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(b)) > most:
		return nil, fmt.Errorf("%s: more than %d bytes: this is not such a file", path, most)
	}
	return b, nil
}

// queue has it sent and, unless told otherwise, waits until it is.
func (o *diodeOptions) queue(cmd *cobra.Command, e end, req console.ResendRequest, f resendFlags) error {
	from, err := resendProgress(cmd.Context(), e)
	if err != nil {
		return err
	}
	queued, err := e.client.Resend(cmd.Context(), req)
	if err != nil {
		return err
	}
	if o.json || f.noWatch {
		return o.print(cmd, queued, func(w io.Writer) error { return console.ResendText(w, queued) })
	}
	if len(queued.Refused) > 0 && queued.Batches == 0 {
		return console.ResendText(cmd.OutOrStdout(), queued)
	}
	return watchResend(cmd, e, queued.Batches, from)
}
