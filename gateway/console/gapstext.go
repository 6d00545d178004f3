package console

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/report"
)

// DefaultClass is the class that ranges are of when nobody says otherwise.
const DefaultClass = "bulk"

// maxTyped is how many lines nobody minds typing (ours).
const maxTyped = 5

// GapsText writes a list of ranges for people, and what to do about them.
func GapsText(w io.Writer, g GapList) error {
	p := newPrinter(w)
	all := sumOf(g.Totals)
	if all.OpenRanges == 0 {
		p.line("%s: nothing is missing", g.Link)
	} else {
		p.line("%s: missing %s %s", g.Link, all.Open, all.inRanges())
	}
	p.ranges(g.Ranges)
	if g.More > 0 {
		p.line("\n%s more that this list leaves out", plural(g.More, "range"))
	}
	p.totals(g.Totals)
	p.remedy(g)
	return p.flush()
}

func sumOf(ts []GapTotals) GapTotals {
	var all GapTotals
	for _, t := range ts {
		all = all.plus(t)
	}
	return all
}

func (p *printer) ranges(rs []GapRange) {
	class, epoch := "", ""
	for _, r := range grouped(rs) {
		if r.Class != class || r.Epoch != epoch {
			class, epoch = r.Class, r.Epoch
			p.line("\n%s, epoch %.8s", class, epoch)
			p.line("  range\tbatches\trecords\tstate\treason\ttaken in by the near side\tmissed here at")
		}
		p.line("  %s\t%s\t%s\t%s\t%s\t%s\t%s", r.text(), r.batches(), r.records(), r.state(), r.Reason, between(r.Before.NearAt, r.After.NearAt), stamp(r.DeclaredAt))
	}
}

// grouped puts together what is of one class and epoch, in the order in which they come first.
func grouped(rs []GapRange) []GapRange {
	place := map[string]int{}
	for _, r := range rs {
		if _, ok := place[r.Class+r.Epoch]; !ok {
			place[r.Class+r.Epoch] = len(place)
		}
	}
	rs = slices.Clone(rs)
	slices.SortStableFunc(rs, func(a, b GapRange) int { return cmp.Compare(place[a.Class+a.Epoch], place[b.Class+b.Epoch]) })
	return rs
}

func (r GapRange) text() string {
	if r.Last == 0 {
		return fmt.Sprintf("%d-?", r.First)
	}
	return diode.Range{First: r.First, Last: r.Last}.String()
}

func (r GapRange) batches() string {
	if r.Last == 0 {
		return "unknown"
	}
	return fmt.Sprint(r.Last - r.First + 1)
}

func (r GapRange) records() string {
	if !r.RecordsKnown {
		return "unknown"
	}
	return fmt.Sprint(r.Records)
}

func (r GapRange) state() string {
	switch {
	case r.How != "":
		return r.State + " (" + r.How + ")"
	case r.State == GapOpen && !r.Resendable:
		return r.State + ", not kept"
	}
	return r.State
}

// between says when, by the near clock, what is missing was taken in.
func between(from, to time.Time) string {
	switch {
	case from.IsZero() && to.IsZero():
		return "unknown"
	case from.IsZero():
		return "before " + stamp(to)
	case to.IsZero():
		return "after " + stamp(from)
	}
	return stamp(from) + " to " + stamp(to)
}

func (p *printer) totals(ts []GapTotals) {
	if sumOf(ts).Declared == (Amount{}) {
		return
	}
	p.line("\n\tever declared missing\tfilled\tlost for good\tmissing")
	for _, t := range ts {
		if t.Declared != (Amount{}) {
			p.line("%s\t%s\t%s\t%s\t%s", t.Class, t.Declared, t.Filled, t.Final, t.Open)
		}
	}
}

// remedy says what to type where the link begins.
func (p *printer) remedy(g GapList) {
	lines := ShortGaps(g)
	switch {
	case len(lines) == 0:
		return
	case len(lines) > maxTyped || g.More > 0:
		p.line("\nThat is a lot to type. Carry a report to the sending node instead:")
		p.line("  sluice diode gaps %s --report gaps.bin", g.Link)
		p.line("  sluice diode resend %s --gaps gaps.bin", g.Link)
		return
	}
	p.line("\nTo have it sent again, type on the sending node:")
	for _, l := range lines {
		p.line("  sluice diode resend %s %s", g.Link, l)
	}
}

// ShortGaps is what to type behind `sluice diode resend LINK`, line by line, for all open ranges in the list that the
// near side still keeps.
func ShortGaps(g GapList) []string {
	var lines []string
	for _, class := range classesOf(g.Ranges) {
		suffix := ""
		if class != DefaultClass {
			suffix = " --class " + class
		}
		for line := range strings.Lines(report.FormatRanges(openOf(g.Ranges, class))) {
			lines = append(lines, strings.TrimSpace(line)+suffix)
		}
	}
	return lines
}

func classesOf(rs []GapRange) []string {
	var classes []string
	for _, r := range rs {
		if !slices.Contains(classes, r.Class) {
			classes = append(classes, r.Class)
		}
	}
	return classes
}

// openOf returns what can be sent again, ascending; what touches is joined.
func openOf(rs []GapRange, class string) []diode.Range {
	var open []diode.Range
	for _, r := range rs {
		if r.Class == class && r.State == GapOpen && r.Resendable && r.Last >= r.First {
			open = append(open, diode.Range{First: r.First, Last: r.Last})
		}
	}
	return diode.Merge(open)
}
