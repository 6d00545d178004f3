package console

import (
	"fmt"
	"io"
	"time"
)

// ResendText writes what a request comes to, for people.
func ResendText(w io.Writer, r Resend) error {
	p := newPrinter(w)
	verb := "can be sent again"
	if !r.DryRun {
		verb = "queued"
	}
	p.line("%s: %s, %s: %s; at %s that takes about %s", r.Link, Amount{Batches: r.Batches, Records: r.Records}, byteText(r.Bytes), verb,
		rateText(r.RateBits), secondsText(r.Seconds))
	if len(r.Classes) > 1 {
		for _, c := range r.Classes {
			p.line("  %s\t%s\t%s", c.Class, Amount{Batches: c.Batches, Records: c.Records}, byteText(c.Bytes))
		}
	}
	if r.Missing > 0 {
		p.line("  no longer kept, or never there: %s", plural(r.Missing, "batch"))
	}
	for _, why := range r.Refused {
		p.line("  left out: %s", why)
	}
	return p.flush()
}

// secondsText prints a time that people wait.
func secondsText(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < time.Second {
		return "1s"
	}
	return d.Round(time.Second).String()
}

// ExplainText writes what ranges held, for people.
func ExplainText(w io.Writer, e Explanation) error {
	p := newPrinter(w)
	p.line("%s, %s: %s, %s", e.Link, e.Class, Amount{Batches: e.Batches, Records: e.Records}, byteText(e.Bytes))
	if !e.From.IsZero() {
		p.line("taken in by this node %s", between(e.From, e.To))
	}
	if e.Missing > 0 {
		p.line("no longer kept, or never there: %s", plural(e.Missing, "batch"))
	}
	for _, r := range e.Receivers {
		p.line("\n%s\t%s", clean(r.Name), Amount{Batches: r.Batches, Records: r.Records})
		for _, x := range r.Endpoints {
			p.line("  %s\t%s\t%s", clean(x.Endpoint), plural(x.Records, "record"), between(x.From, x.To))
		}
		if r.More > 0 {
			p.line("  and %s more", plural(r.More, "endpoint"))
		}
	}
	if e.Cut != "" {
		p.line("\nNot all was read: %s", e.Cut)
	}
	return p.flush()
}

// ProgressText is one line about a resend of n batches that was queued when the link's counters stood at from.
func ProgressText(n uint64, from, now ResendProgress) string {
	return fmt.Sprintf("sent again %d of %s, %s; no longer kept %d", now.Sent-from.Sent, plural(n, "batch"), byteText(now.Bytes-from.Bytes), now.Missing-from.Missing)
}
