package console

import (
	"fmt"
	"io"
	"strings"

	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// AuditText writes entries of an audit log for people.
func AuditText(w io.Writer, entries []auditlog.Entry) error {
	p := newPrinter(w)
	if len(entries) == 0 {
		p.line("no such entry")
	}
	for _, e := range entries {
		p.line("%d\t%s\t%s\t%s\t%s\t%s", e.Seq, stamp(e.At), clean(e.What), clean(e.Object), clean(e.Who.String()), clean(detailText(e)))
	}
	return p.flush()
}

// detailText is what an entry says, and from which state to which it led.
func detailText(e auditlog.Entry) string {
	if e.Before == "" && e.After == "" {
		return e.Detail
	}
	return strings.TrimSpace(fmt.Sprintf("%s (before %s, after %s)", e.Detail, short(e.Before), short(e.After)))
}

// shortDigest is how many digits tell two configurations apart.
const shortDigest = 12

func short(digest string) string {
	if digest == "" {
		return "nothing"
	}
	return digest[:min(len(digest), shortDigest)]
}

// AuditReportText writes what a check of an audit log found. Compared says that its end was held against a head.
func AuditReportText(w io.Writer, r auditlog.Report, compared bool) error {
	p := newPrinter(w)
	p.line("%s in %s", entriesText(r.Entries), plural(uint64(r.Files), "file"))
	if r.Entries > 0 {
		p.line("  from\t%s", stamp(r.From))
		p.line("  to\t%s", stamp(r.To))
		p.line("  head\t%s", r.Head)
	}
	if r.Asides > 0 {
		p.line("  a crash left an unfinished line: %s, see sluice audit show --what set-aside", times(r.Asides))
	}
	if r.Missed > 0 {
		p.line("  entries could not be written: %s, see sluice audit show --what missed", times(r.Missed))
	}
	if f := r.Finding; f != nil {
		p.line("\nWRONG at entry %d%s: %s: %s", f.Seq, where(*f), f.Kind, clean(f.Text))
		return p.flush()
	}
	p.line("\nOK: every line follows from the one before")
	if !compared {
		p.line("No node answers and no --head was given: whether the end was cut off is not known.")
	}
	return p.flush()
}

func where(f auditlog.Finding) string {
	if f.Line == 0 {
		return ""
	}
	return fmt.Sprintf(", %s line %d", f.File, f.Line)
}

func entriesText(n uint64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}
