package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sluice-gateway/sluice/gateway"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

func auditCommand() *cobra.Command {
	var o askOptions
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Show, verify and export the record of who did what to a node",
		Long: "The audit log has a line for each start, change of the configuration, acceptance, trip, reset, exception and the like:\n" +
			"who, what, when, and the hash of the line before. It is read from disk, so that neither a node that does not run\n" +
			"hides it nor one that runs has to be believed.",
	}
	o.flags(cmd, "node whose log it is (default: the only one)")
	cmd.AddCommand(auditShowCommand(&o), auditVerifyCommand(&o), auditExportCommand(&o))
	return cmd
}

// auditDir is where a node keeps its audit log.
func (o *askOptions) auditDir(node string) string { return gateway.AuditDir(o.state, node) }

// log finds the audit log of the node that is meant.
func (o *askOptions) log() (node, dir string, err error) {
	if o.node != "" {
		return o.node, o.auditDir(o.node), nil
	}
	entries, err := os.ReadDir(o.state)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	var nodes []string
	for _, e := range entries {
		if st, err := os.Stat(o.auditDir(e.Name())); err == nil && st.IsDir() {
			nodes = append(nodes, e.Name())
		}
	}
	switch len(nodes) {
	case 0:
		return "", "", fmt.Errorf("no node has an audit log in state directory %s: name its directory with --state", o.state)
	case 1:
		return nodes[0], o.auditDir(nodes[0]), nil
	}
	return "", "", fmt.Errorf("several nodes have an audit log in %s: say which with --node: %s", o.state, strings.Join(nodes, ", "))
}

// auditFlags say which entries are wanted.
type auditFlags struct {
	since, until string
	filter       auditlog.Filter
}

func auditShowCommand(o *askOptions) *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show entries, the oldest first",
		Example: "  sluice audit show --since 24h\n  sluice audit show --what trip --what reset --limit 20\n" +
			"  sluice audit show --object eno3",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.showAudit(cmd, f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.since, "since", "", "from this `time` on: a date, a time as in 2026-11-24T01:00:00Z, or how long ago, as in 24h")
	flags.StringVar(&f.until, "until", "", "before this `time`")
	flags.StringSliceVar(&f.filter.What, "what", nil, "only these `verbs`, as in trip,reset")
	flags.StringVar(&f.filter.Object, "object", "", "only about what has this `text` in its name")
	flags.IntVar(&f.filter.Limit, "limit", auditlog.DefaultLimit, "at most this many, the newest")
	return cmd
}

func (o *askOptions) showAudit(cmd *cobra.Command, f auditFlags) error {
	var err error
	if f.filter.Limit <= 0 || f.filter.Limit > auditlog.MaxLimit {
		return fmt.Errorf("--limit %d: from 1 to %d", f.filter.Limit, auditlog.MaxLimit)
	}
	if f.filter.Since, err = moment("--since", f.since); err != nil {
		return err
	}
	if f.filter.Until, err = moment("--until", f.until); err != nil {
		return err
	}
	_, dir, err := o.log()
	if err != nil {
		return err
	}
	entries, damage := auditlog.Read(dir, f.filter)
	if damage != nil && !errors.Is(damage, auditlog.ErrDamaged) {
		return damage
	}
	if err := o.print(cmd, entries, func(w io.Writer) error { return console.AuditText(w, entries) }); err != nil {
		return err
	}
	return damage
}

// moment reads a time as people write it; none is the zero time.
func moment(flag, s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return time.Now().Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%s %q: write a date as in 2026-11-24, a time as in 2026-11-24T01:00:00Z, or how long ago as in 24h", flag, s)
}

// verified is what `audit verify` says as JSON.
type verified struct {
	auditlog.Report

	Node string `json:"node,omitempty"`
	// AgainstNode: the running node's head was compared, too.
	AgainstNode bool `json:"against_node"`
}

func auditVerifyCommand(o *askOptions) *cobra.Command {
	var heads []string
	file := ""
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Follow the chain of hashes, and name the first line that is wrong",
		Long: "Follow the chain of hashes through the log and name the first line that was altered, removed or moved. That the end was\n" +
			"cut off, or the whole log made anew, shows only against a head that was kept elsewhere: that of the running node is\n" +
			"compared when it answers; the far side of a diode shows the one that it heard in sluice status --json.\n" +
			"Exit code 1: something is wrong.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.verifyAudit(cmd, heads, file) },
	}
	cmd.Flags().StringSliceVar(&heads, "head", nil, "`SEQ:HASH` that was kept elsewhere; may be given several times")
	cmd.Flags().StringVar(&file, "file", "", "an exported `file`, instead of the log of a node")
	return cmd
}

func (o *askOptions) verifyAudit(cmd *cobra.Command, heads []string, file string) error {
	var kept []auditlog.Head
	for _, s := range heads {
		h, err := auditlog.ParseHead(s)
		if err != nil {
			return err
		}
		kept = append(kept, h)
	}
	v, err := o.verify(cmd.Context(), kept, file)
	if err != nil {
		return err
	}
	compared := len(kept) > 0 || v.AgainstNode
	if err := o.print(cmd, v, func(w io.Writer) error { return console.AuditReportText(w, v.Report, compared) }); err != nil {
		return err
	}
	if !v.OK() {
		return errShown
	}
	return nil
}

func (o *askOptions) verify(ctx context.Context, kept []auditlog.Head, file string) (v verified, err error) {
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return v, err
		}
		defer f.Close() //nolint:errcheck // read only
		v.Report, err = auditlog.VerifyStream(filepath.Base(file), f, kept...)
		return v, err
	}
	node, dir, err := o.log()
	if err != nil {
		return v, err
	}
	v.Node = node
	// First the head, then the log: it may have grown meanwhile, and nothing else.
	if st, err := console.Fetch(ctx, gateway.Socket(o.state, node)); err == nil && st.Audit.Seq > 0 {
		kept, v.AgainstNode = append(kept, st.Audit), true
	}
	v.Report, err = auditlog.Verify(dir, kept...)
	return v, err
}

func auditExportCommand(o *askOptions) *cobra.Command {
	out := ""
	cmd := &cobra.Command{
		Use:   "export --out FILE",
		Short: "Copy the whole log into one file that can be verified elsewhere",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return o.exportAudit(cmd, out) },
	}
	cmd.Flags().StringVar(&out, "out", "", "new `file`; - is the standard output")
	return cmd
}

func (o *askOptions) exportAudit(cmd *cobra.Command, out string) error {
	if out == "" {
		return errors.New("export: say where to with --out FILE")
	}
	_, dir, err := o.log()
	if err != nil {
		return err
	}
	if out == "-" {
		return auditlog.Export(dir, cmd.OutOrStdout())
	}
	f, err := os.OpenFile(out, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	err = auditlog.Export(dir, f)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(out))
	}
	v, err := o.verify(cmd.Context(), nil, out)
	if err != nil {
		return err
	}
	answer := map[string]any{"file": out, "entries": v.Entries, "head": v.Head, "ok": v.OK()}
	return o.print(cmd, answer, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %d entries up to head %s. Check it anywhere:\n  sluice audit verify --file %s --head %s\n", out, v.Entries, v.Head, out, v.Head)
		return err
	})
}
