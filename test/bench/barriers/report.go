package main

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/test/bench/sheet"
)

// The document holds the table between these two lines; what stands around it is written by hand.
const (
	markBegin = "<!-- Written by `make bench-guard UPDATE=1`: begin -->"
	markEnd   = "<!-- Written by `make bench-guard UPDATE=1`: end -->"
)

// report is everything that was measured.
type report struct {
	setup    []string
	tls, udp pairOf[round]
	link     pairOf[linkRun]
	starts   pairOf[time.Duration]
	noted    map[bool]string // what a node says of itself, by guarded
}

func newReport(o options) *report {
	r := &report{noted: map[bool]string{}}
	add := func(format string, args ...any) { r.setup = append(r.setup, fmt.Sprintf(format, args...)) }
	add("machine: %s, %d cores, Linux %s, load average at the start %s", sheet.CPUModel(), runtime.NumCPU(), sheet.FirstLine(sheet.ReadFile("/proc/sys/kernel/osrelease")), sheet.LoadAverage())
	add("whole way: one node, TLS and datagrams of 280 bytes to files over a veth without offloads, %d messages as fast as they are taken, then %d datagrams per second for %v", o.count, o.udpRate, o.udpFor)
	add("on: a monitoring point with both drops and the input chain, its warden, plugins in the sandbox; off: the same node without a monitoring point, started with all privileges, plugins not confined and started without the shim")
	add("link: both ends fenced, or not, MTU 1500, at the highest rate that loses nothing without the fence")
	return r
}

func (r *report) head() string { return strings.Join(r.setup, "\n") }

// note keeps what a node says of its buffers and of what confines its plugins.
func (r *report) note(p place, st console.Status) {
	buffer, missing := 0, []string{}
	for _, x := range st.Receivers {
		buffer = max(buffer, x.Traffic.ReceiveBuffer)
		missing = append(missing, x.Plugin.Missing...)
	}
	text := fmt.Sprintf("%s: receive buffer granted %d KiB", p.name(), buffer>>10)
	if p.guarded && len(missing) > 0 {
		text += "; plugins lack " + strings.Join(missing, ", ")
	}
	if w := st.Guard.Warden; w != nil {
		text += fmt.Sprintf("; fence known %t, trips %d, restored %d", w.Known, len(st.Guard.Trips), len(st.Guard.Restored))
	}
	r.noted[p.guarded] = text
}

// line is one row of the table.
type line struct {
	name, key, format string
	on, off           sheet.Spread
	difference        bool // in the unit of the row, else a ratio
}

func lineOf[T any](name, key, format string, p pairOf[T], of func(T) float64) line {
	return line{name: name, key: key, format: format, on: sheet.SpreadOf(p.on, of), off: sheet.SpreadOf(p.off, of)}
}

func (r *report) lines() []line {
	var out []line
	if len(r.tls.on) > 0 && len(r.tls.off) > 0 {
		out = append(out,
			lineOf("TLS to file, events/s", "tls_rate", "%.0f", r.tls, round.rate),
			lineOf("TLS to file, CPU s/GB", "tls_cpu", "%.2f", r.tls, round.cpuPerGB),
			lineOf("datagrams to file, events/s", "udp_rate", "%.0f", r.udp, round.rate),
			lineOf("datagrams to file, CPU s/GB", "udp_cpu", "%.2f", r.udp, round.cpuPerGB))
	}
	if len(r.link.on) > 0 && len(r.link.off) > 0 {
		out = append(out,
			lineOf("link alone, MB/s", "link_rate", "%.1f", r.link, func(x linkRun) float64 { return x.MBps }),
			lineOf("link alone, CPU s/GB", "link_cpu", "%.2f", r.link, func(x linkRun) float64 { return x.CPUPerGB }))
	}
	if len(r.starts.on) > 0 && len(r.starts.off) > 0 {
		x := lineOf("plugin ready after, ms", "start", "%.1f", r.starts, func(d time.Duration) float64 { return d.Seconds() * 1e3 })
		x.difference = true
		out = append(out, x)
	}
	return out
}

// compared is on against off: a ratio of medians, or how much more.
func (l line) compared() (value float64, text string) {
	if l.difference {
		d := l.on.Median - l.off.Median
		return d, fmt.Sprintf("%+.1f", d)
	}
	if l.off.Median == 0 {
		return 0, "–"
	}
	q := l.on.Median / l.off.Median
	return q, fmt.Sprintf("%.3f", q)
}

// tables is the report in Markdown.
func (r *report) tables() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\nMeasured %s. Medians, in parentheses lowest and highest. 1 MB is 10^6 bytes, 1 GB 10^9, of payload delivered.\n\n", time.Now().UTC().Format(time.DateOnly))
	for _, l := range r.setup {
		fmt.Fprintf(&b, "- %s\n", l)
	}
	for _, guarded := range []bool{true, false} {
		if text := r.noted[guarded]; text != "" {
			fmt.Fprintf(&b, "- %s\n", text)
		}
	}
	fmt.Fprintf(&b, "- rounds per side: whole way %d, link %d, plugin starts %d; load average at the end %s\n", len(r.tls.on), len(r.link.on), len(r.starts.on), sheet.LoadAverage())
	fmt.Fprintf(&b, "- lost, twice, altered over all rounds: TLS %s; datagrams %s; link, runs not intact: on %d, off %d\n", accounts(r.tls), accounts(r.udp), broken(r.link.on), broken(r.link.off))
	b.WriteString("\n| | on | off | on : off |\n|---|---|---|---|\n")
	for _, l := range r.lines() {
		_, text := l.compared()
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", l.name, l.on.Text(l.format), l.off.Text(l.format), text)
	}
	return b.String()
}

// accounts are sums: a loss is never averaged away.
func accounts(p pairOf[round]) string {
	sum := func(rs []round) string {
		var lost float64
		var twice, altered uint64
		for _, r := range rs {
			lost, twice, altered = lost+r.lost(), twice+r.arrived.Twice, altered+r.arrived.Altered
		}
		return fmt.Sprintf("%.0f, %d, %d", lost, twice, altered)
	}
	return "on " + sum(p.on) + ", off " + sum(p.off)
}

func broken(runs []linkRun) (n int) {
	for _, r := range runs {
		if !r.Intact {
			n++
		}
	}
	return n
}

// result is one line for scripts: ratios of on to off, and how many milliseconds later a plugin is ready.
func (r *report) result() string {
	fields := []string{"RESULT"}
	for _, l := range r.lines() {
		v, _ := l.compared()
		name := l.key + "_ratio"
		if l.difference {
			name = l.key + "_more_ms"
		}
		fields = append(fields, fmt.Sprintf("%s=%.3f", name, v))
	}
	return strings.Join(fields, " ")
}

// write puts the table between the marks of a document.
func (r *report) write(path string) error {
	return sheet.Replace(path, markBegin, markEnd, r.tables())
}
