package console

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/sluice-gateway/sluice/hcl/value"
)

// FactsText writes the findings of an examination for people, and what to do about those that are not ok.
func FactsText(w io.Writer, facts []Fact) error {
	p := newPrinter(w)
	about := ""
	for i, f := range facts {
		if a := f.about(); a != about {
			if i > 0 {
				p.line("")
			}
			p.line("%s", a)
			about = a
		}
		p.line("  %s\t%s\t%s", f.mark(), f.Name, clean(f.Value))
		if f.Remedy != "" && f.State != FactOK {
			p.line("  \t\t→ %s", f.Remedy)
		}
	}
	return p.flush()
}

// Bad reports whether anything is bad.
func Bad(facts []Fact) bool {
	for _, f := range facts {
		if f.State == FactBad {
			return true
		}
	}
	return false
}

func (f Fact) about() string {
	node := "this node"
	if f.Node != "" {
		node = "node " + f.Node
	}
	if f.Link == "" {
		return node
	}
	return strings.TrimSpace(f.Link+" "+f.Side) + ", " + node
}

func (f Fact) mark() string {
	if f.State == FactOK {
		return "ok"
	}
	return strings.ToUpper(f.State)
}

// TestText writes what a test has sent.
func TestText(w io.Writer, t TestState) error {
	p := newPrinter(w)
	p.line("%s: pattern sent at %s in %s", t.Link, ratesText(t.RatesBits), secondsText(t.Seconds))
	p.line("What arrived is known on the other side: sluice diode test %s --report", t.Link)
	return p.flush()
}

func ratesText(rates []uint64) string {
	words := make([]string, len(rates))
	for i, r := range rates {
		words[i] = rateText(r)
	}
	return strings.Join(words, ", ")
}

// TestReportText writes what the receiving end saw of a test.
func TestReportText(w io.Writer, t TestReport) error {
	p := newPrinter(w)
	state := ""
	if t.Running {
		state = ", still running"
	}
	p.line("%s: test of %s%s", t.Link, stamp(t.Started), state)
	p.line("\n  rate\tframes\tlost\tlongest run\truns\treordered\tdropped by the kernel\tlatency p50, p99, max")
	for _, s := range t.Steps {
		p.line("  %s\t%d\t%d (%s)\t%d\t%d\t%d\t%d\t+%s, +%s, +%s", rateText(s.RateBits), s.Sent, s.Lost, share(s.Lost, s.Sent), s.LongestRun, s.Runs,
			s.Reordered, s.KernelDrops, milli(s.LatencyP50Seconds), milli(s.LatencyP99Seconds), milli(s.LatencyMaxSeconds))
	}
	if t.SpoolBytesPerSecond > 0 {
		p.line("\nThe spool's disk here takes %s per second, synced.", byteText(t.SpoolBytesPerSecond))
	}
	p.recommendation(t.Recommendation)
	return p.flush()
}

func (p *printer) recommendation(r Recommendation) {
	if r.RateBits == 0 {
		p.line("\nNo rate got through well enough: %s", r.Reason)
		return
	}
	p.line("\nRecommended (%s):", r.Reason)
	p.line("  send { rate = %q }", rateText(r.RateBits))
	p.line("  fec {\n    parity     = %q\n    interleave = %d\n  }", percentText(r.Parity), r.Interleave)
}

func share(part, whole uint64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f%%", 100*float64(part)/float64(whole))
}

// percentText rounds up: less would be weaker than what was recommended.
func percentText(share float64) string {
	const digits = 10_000 // hundredths of a percent
	return value.Text(math.Ceil(share*digits-1e-6)/digits, value.Percent)
}

func milli(seconds float64) string { return fmt.Sprintf("%.1f ms", 1000*seconds) }

// AcceptanceText writes what accepting a sender has changed.
func AcceptanceText(w io.Writer, a Acceptance) error {
	p := newPrinter(w)
	if a.AuditLog {
		p.line("%s: the near side's audit log is taken as it is from now on.", a.Link)
	}
	if a.Pairing == "" && a.AuditLog {
		return p.flush()
	}
	p.line("%s: the sender's sessions are accepted again.", a.Link)
	p.line("  pairing\t%s", a.Pairing)
	p.line("  session floor\t%d, before it was %d", a.Floor, a.Was)
	p.line("  sender is at\t%d", a.Session)
	return p.flush()
}
