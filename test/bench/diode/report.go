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
	markBegin = "<!-- Written by `make bench-diode UPDATE=1`: begin -->"
	markEnd   = "<!-- Written by `make bench-diode UPDATE=1`: end -->"
)

// report is everything that was measured.
type report struct {
	setup  []string
	rows   []*result
	limits []limit
	broken []run
	times  []*result
	idle   []idle
}

// of returns the runs of one contestant.
func (r *result) of(name string) []run {
	return slices.DeleteFunc(slices.Clone(r.runs), func(x run) bool { return x.name != name })
}

func (r *result) names() []string {
	var names []string
	for _, x := range r.runs {
		if !slices.Contains(names, x.name) {
			names = append(names, x.name)
		}
	}
	return names
}

func intact(list []run) []run {
	return slices.DeleteFunc(slices.Clone(list), func(x run) bool { return !x.intact })
}

// percentiles of the times of all runs of a row.
type percentiles struct {
	count         int
	p50, p99, max time.Duration
	lost          uint64
}

func (r *result) percentiles() percentiles {
	var all []int64
	var p percentiles
	for _, x := range r.runs {
		all = append(all, x.far.Times...)
		p.lost += count(x.far.Lost)
	}
	slices.Sort(all)
	if p.count = len(all); p.count == 0 {
		return p
	}
	at := func(q float64) time.Duration { return time.Duration(all[min(int(q*float64(len(all))), len(all)-1)]) }
	p.p50, p.p99, p.max = at(0.5), at(0.99), time.Duration(all[len(all)-1])
	return p
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", d.Seconds()*1e3) }

// tables is the report in Markdown: the conditions, then the tables.
func (r *report) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured %s. Medians of the runs that arrived intact, in parentheses lowest and highest. 1 MB is 10^6 bytes, 1 GB 10^9, of payload delivered.\n\n", time.Now().UTC().Format(time.DateOnly))
	for _, l := range r.setup {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	for _, part := range []func() string{r.throughputTable, r.limitTable, r.brokenTable, r.timesTable, r.idleTable} {
		b.WriteString(part())
	}
	return b.String()
}

func table(title, head string, rows []string) string {
	if len(rows) == 0 {
		return ""
	}
	return fmt.Sprintf("\n### %s\n\n| %s |\n|%s\n%s\n", title, head, strings.Repeat("---|", 1+strings.Count(head, "|")), strings.Join(rows, "\n"))
}

func (r *report) throughputTable() string {
	var lines []string
	for _, x := range r.rows {
		for _, name := range x.names() {
			lines = append(lines, "| "+strings.Join(x.cells(name), " | ")+" |")
		}
	}
	return table("Throughput", "row | | setting | intact | MB/s | CPU s/GB | tx | rx | ksoftirqd | wire | blocks repaired | dropped at the socket", lines)
}

func (r *result) cells(name string) []string {
	all := r.of(name)
	good := intact(all)
	setting, repaired := "FEC "+r.row.fec, "–"
	if all[0].near.Shape != "" {
		setting = fmt.Sprintf("%s, depth %d, %.2f Gbit/s", all[0].near.Shape, max(r.row.link.Interleave, 1), float64(r.rate)/gbit)
		repaired = sheet.SpreadOf(all, func(x run) float64 { return float64(x.far.Repaired) }).Text("%.0f")
	}
	if name != "sluice" && name != "udpcast" {
		setting = "by hand"
	}
	cells := []string{r.row.name, name, setting, fmt.Sprintf("%d/%d", len(good), len(all))}
	if len(good) == 0 {
		cells = append(cells, "–", "–", "–", "–", "–")
	} else {
		cells = append(
			cells, sheet.SpreadOf(good, run.mbps).Text("%.0f"), sheet.SpreadOf(good, run.cpuPerGB).Text("%.2f"), fmt.Sprintf("%.2f", sheet.SpreadOf(good, run.txPerGB).Median),
			fmt.Sprintf("%.2f", sheet.SpreadOf(good, run.rxPerGB).Median), fmt.Sprintf("%.2f", sheet.SpreadOf(good, run.softPerGB).Median),
		)
	}
	wire := "–"
	if len(good) > 0 {
		wire = fmt.Sprintf("%.3f", sheet.SpreadOf(good, run.wireRatio).Median)
	}
	return append(cells, wire, repaired, sheet.SpreadOf(all, func(x run) float64 { return float64(x.drops) }).Text("%.0f"))
}

func (r *report) limitTable() string {
	type kind struct {
		name string
		mtu  int
	}
	var order []kind
	for _, x := range r.limits {
		if k := (kind{x.name, x.mtu}); !slices.Contains(order, k) {
			order = append(order, k)
		}
	}
	var lines []string
	for _, k := range order {
		list := slices.DeleteFunc(slices.Clone(r.limits), func(x limit) bool { return kind{x.name, x.mtu} != k })
		lines = append(lines, fmt.Sprintf("| %s | %d | %d | %s | %s | %.2f | %.2f |", k.name, k.mtu, len(list),
			sheet.SpreadOf(list, func(x limit) float64 { return x.delivered }).Text("%.0f"), sheet.SpreadOf(list, func(x limit) float64 { return x.sent }).Text("%.0f"),
			sheet.SpreadOf(list, func(x limit) float64 { return x.tx }).Median, sheet.SpreadOf(list, func(x limit) float64 { return x.rx }).Median))
	}
	return table("What the machine can do: datagrams without repair, order or seal", "yardstick | MTU | runs | MB/s delivered | MB/s sent | tx CPU s/GB delivered | rx", lines)
}

func (r *report) brokenTable() string {
	var lines []string
	for i, x := range r.broken {
		lines = append(lines, fmt.Sprintf("| %d | %s | %s |", i+1, x.name, strings.Join(x.account(), " | ")))
	}
	return table(fmt.Sprintf("Beyond repair: 30 %% of the frames lost for %v of about %v", breakFor, breakSpan), "run | | batches delivered | named as lost | neither | altered | sums right | what ended it", lines)
}

// account says what became of every batch of a run.
func (x run) account() []string {
	if x.far.Shape == "" && len(x.far.Delivered) == 0 {
		return []string{fmt.Sprintf("%d of %d bytes written", x.arrived, x.size), "–", "–", "–", "–", "session lost: " + sheet.FirstLine(x.ended)}
	}
	total := uint64((x.size + batchBytes - 1) / batchBytes)
	got, lost := count(x.far.Delivered), count(x.far.Lost)
	sums := "yes"
	if x.far.BadSums > 0 || x.far.Unknown > 0 || x.far.Weight+x.far.LostKnown != uint64(x.size) {
		sums = fmt.Sprintf("NO: %d + %d of %d, %d contradictions", x.far.Weight, x.far.LostKnown, x.size, x.far.BadSums)
	}
	ended := x.ended
	if ended == "" {
		ended = "all was accounted for"
	}
	return []string{fmt.Sprintf("%d of %d", got, total), fmt.Sprint(lost), fmt.Sprint(int64(total) - int64(got) - int64(lost)), fmt.Sprint(x.altered), sums, ended}
}

func (r *report) timesTable() string {
	var lines []string
	for _, x := range r.times {
		p := x.percentiles()
		lines = append(lines, fmt.Sprintf("| %d | %s | %d | %s | %s | %s | %d |", x.row.events, x.row.loss.name, p.count, ms(p.p50), ms(p.p99), ms(p.max), p.lost))
	}
	return table("Time from a batch accepted at the near end to the batch delivered at the far end", "events/s | loss | batches | p50 | p99 | max | lost", lines)
}

// write puts the tables between the marks of a document.
func (r *report) write(path string) error {
	return sheet.Replace(path, markBegin, markEnd, r.tables())
}

// result is one line for scripts. goodput_mbps is payload delivered in Mbit/s, lost counts batches.
func (r *report) result() string {
	fields := []string{"RESULT"}
	add := func(name, format string, v float64) { fields = append(fields, fmt.Sprintf("%s="+format, name, v)) }
	if len(r.rows) > 0 {
		r.resultThroughput(add)
	}
	for _, x := range r.times {
		p := x.percentiles()
		name := fmt.Sprintf("latency_%d_loss_%g", x.row.events, x.row.loss.percent)
		add(name+"_p50_ms", "%.1f", p.p50.Seconds()*1e3)
		add(name+"_p99_ms", "%.1f", p.p99.Seconds()*1e3)
	}
	if len(r.idle) > 0 {
		add("idle_core_percent", "%.2f", sheet.SpreadOf(r.idle, func(x idle) float64 { return x.percent(x.tx + x.rx) }).Median)
	}
	return strings.Join(fields, " ")
}

// word makes one word of the name of a row.
func word(name string) string {
	apart := func(c rune) bool { return (c < '0' || c > '9') && (c < 'a' || c > 'z') }
	return strings.Join(strings.FieldsFunc(name, apart), "_")
}

func (r *report) resultThroughput(add func(name, format string, v float64)) {
	ours := r.rows[0].of("sluice")
	goodput := sheet.SpreadOf(intact(ours), run.mbps).Median
	add("goodput_mbps", "%.1f", 8*goodput)
	add("cpu_s_per_gb", "%.2f", sheet.SpreadOf(intact(ours), run.cpuPerGB).Median)
	lost := uint64(0)
	for _, x := range r.rows {
		for _, y := range x.of("sluice") {
			lost += uint64((y.size+batchBytes-1)/batchBytes) - count(y.far.Delivered)
		}
	}
	add("lost", "%.0f", float64(lost))
	add("wire_ratio", "%.3f", sheet.SpreadOf(intact(ours), run.wireRatio).Median)
	if theirs := intact(r.rows[0].of("udpcast")); len(theirs) > 0 {
		add("ratio_vs_udpcast", "%.2f", goodput/sheet.SpreadOf(theirs, run.mbps).Median)
		add("udpcast_cpu_s_per_gb", "%.2f", sheet.SpreadOf(theirs, run.cpuPerGB).Median)
	}
	if len(r.limits) > 0 {
		add("ratio_vs_raw", "%.2f", goodput/sheet.SpreadOf(r.limits[:1], func(x limit) float64 { return x.delivered }).Median)
	}
	for _, x := range r.rows[1:] {
		add(word(x.row.name)+"_mbps", "%.1f", 8*sheet.SpreadOf(intact(x.of("sluice")), run.mbps).Median)
	}
}
