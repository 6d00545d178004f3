package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/test/bench/sheet"
)

// The document holds the tables between these two lines; what stands around them is written by hand.
const (
	markBegin = "<!-- Written by `make bench UPDATE=1`: begin -->"
	markEnd   = "<!-- end -->"
)

// report is everything that was measured.
type report struct {
	setup                   *conditions
	tls, many, latency, udp []round
}

func ofSide(rounds []round, side string) []round {
	return slices.DeleteFunc(slices.Clone(rounds), func(r round) bool { return r.side != side })
}

func sum(rounds []round, of func(round) float64) float64 {
	total := 0.0
	for _, r := range rounds {
		total += of(r)
	}
	return total
}

func sidesIn(rounds []round) []string {
	var names []string
	for _, r := range rounds {
		if !slices.Contains(names, r.side) {
			names = append(names, r.side)
		}
	}
	return names
}

const headTLS = "events/s | MB/s | CPU s/GB | peak memory MB | wire bytes per byte | lost | twice | altered"

// tables is the report in Markdown: the conditions, then one table per part.
func (r *report) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured %s. Medians, in parentheses lowest and highest. 1 MB is 10^6 bytes, 1 GB 10^9, of payload delivered.\n\n", time.Now().UTC().Format(time.DateOnly))
	for _, l := range r.setup.all() {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	for _, part := range []struct {
		rounds []round
		title  string
		head   string
		row    func([]round) []string
	}{
		{r.tls, "TLS to file", headTLS, rowTLS},
		{r.many, fmt.Sprintf("TLS to file, %d connections", manyConnections), headTLS, rowTLS},
		{r.latency, "Time from sending to the line in the file", "p50 ms | p99 ms | max ms | lost", rowLatency},
		{r.udp, "Datagrams", "sent | lost % | lost by its own count | twice | altered", rowUDP},
	} {
		if len(part.rounds) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n| | rounds | %s |\n|%s\n", part.title, part.head, strings.Repeat("---|", 3+strings.Count(part.head, "|")))
		for _, side := range sidesIn(part.rounds) {
			rounds := ofSide(part.rounds, side)
			fmt.Fprintf(&b, "| %s | %d | %s |\n", side, len(rounds), strings.Join(part.row(rounds), " | "))
		}
	}
	return b.String()
}

func rowTLS(rs []round) []string {
	wire := "no link"
	if rs[0].figures.wireBytes > 0 {
		wire = sheet.SpreadOf(rs, round.wire).Text("%.3f")
	}
	return append([]string{
		sheet.SpreadOf(rs, round.rate).Text("%.0f"), sheet.SpreadOf(rs, round.mbps).Text("%.1f"), sheet.SpreadOf(rs, round.cpuPerGB).Text("%.2f"),
		sheet.SpreadOf(rs, round.peakMB).Text("%.0f"), wire,
	}, accounts(rs)...)
}

func rowLatency(rs []round) []string {
	return []string{
		sheet.SpreadOf(rs, func(r round) float64 { return r.sent.Times.P50.Seconds() * 1e3 }).Text("%.1f"),
		sheet.SpreadOf(rs, func(r round) float64 { return r.sent.Times.P99.Seconds() * 1e3 }).Text("%.1f"),
		sheet.SpreadOf(rs, func(r round) float64 { return r.sent.Times.Max.Seconds() * 1e3 }).Text("%.1f"),
		fmt.Sprintf("%.0f", sum(rs, round.lost)),
	}
}

func rowUDP(rs []round) []string {
	counted := "not counted"
	if rs[0].figures.wireBytes > 0 {
		counted = fmt.Sprintf("%.0f", sum(rs, func(r round) float64 { return float64(r.figures.counted) }))
	}
	return append([]string{
		fmt.Sprintf("%.0f", sum(rs, func(r round) float64 { return float64(r.sent.Count) })),
		sheet.SpreadOf(rs, lostPercent).Text("%.2f"), counted,
	}, accounts(rs)[1:]...)
}

func lostPercent(r round) float64 { return 100 * r.lost() / float64(r.sent.Count) }

// accounts are sums over all rounds: a loss is never averaged away.
func accounts(rs []round) []string {
	return []string{
		fmt.Sprintf("%.0f", sum(rs, round.lost)),
		fmt.Sprintf("%.0f", sum(rs, func(r round) float64 { return float64(r.arrived.Twice) })),
		fmt.Sprintf("%.0f", sum(rs, func(r round) float64 { return float64(r.arrived.Altered) })),
	}
}

// result is one line for scripts. goodput is payload delivered in Mbit/s.
func (r *report) result() string {
	fields := []string{"RESULT"}
	add := func(name, format string, v float64) { fields = append(fields, fmt.Sprintf("%s="+format, name, v)) }
	if ours := ofSide(r.tls, "sluice"); len(ours) > 0 {
		add("events_per_s", "%.0f", sheet.SpreadOf(ours, round.rate).Median)
		add("goodput_mbps", "%.1f", 8*sheet.SpreadOf(ours, round.mbps).Median)
		add("cpu_s_per_gb", "%.2f", sheet.SpreadOf(ours, round.cpuPerGB).Median)
		add("peak_mb", "%.0f", sheet.SpreadOf(ours, round.peakMB).Median)
		add("wire_per_byte", "%.3f", sheet.SpreadOf(ours, round.wire).Median)
		add("lost", "%.0f", sum(ours, round.lost))
		add("twice", "%.0f", sum(ours, func(r round) float64 { return float64(r.arrived.Twice) }))
		add("altered", "%.0f", sum(ours, func(r round) float64 { return float64(r.arrived.Altered) }))
		if theirs := ofSide(r.tls, "rsyslog"); len(theirs) > 0 {
			add("ratio_vs_rsyslog", "%.3f", sheet.SpreadOf(ours, round.rate).Median/sheet.SpreadOf(theirs, round.rate).Median)
			add("rsyslog_cpu_s_per_gb", "%.2f", sheet.SpreadOf(theirs, round.cpuPerGB).Median)
			add("rsyslog_lost", "%.0f", sum(theirs, round.lost))
		}
	}
	for _, side := range sidesIn(r.latency) {
		rs := ofSide(r.latency, side)
		add(side+"_p50_ms", "%.1f", sheet.SpreadOf(rs, func(r round) float64 { return r.sent.Times.P50.Seconds() * 1e3 }).Median)
		add(side+"_p99_ms", "%.1f", sheet.SpreadOf(rs, func(r round) float64 { return r.sent.Times.P99.Seconds() * 1e3 }).Median)
	}
	for _, side := range sidesIn(r.udp) {
		add(side+"_udp_lost_percent", "%.2f", sheet.SpreadOf(ofSide(r.udp, side), lostPercent).Median)
	}
	return strings.Join(fields, " ")
}

// write puts the tables between the marks of a document.
func (r *report) write(path string) error {
	return sheet.Replace(path, markBegin, markEnd, r.tables())
}
