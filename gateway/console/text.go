package console

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// Text writes the status for people.
func Text(w io.Writer, st Status) error {
	p := newPrinter(w)
	state := "ready"
	if !st.Ready {
		state = "starting"
	}
	p.line("node %s (site %s)\t%s\tsluice %s, pid %d, since %s", st.Node, st.Site, state, st.Version, st.PID, st.Started.Format(time.DateTime))
	p.guard(st.Guard)
	p.receiverTable(st)
	p.receivers(st.Receivers)
	p.spools(st.Spools)
	p.links(st.Links)
	p.sinks(st.Sinks)
	p.exceptions(st)
	if st.Audit.Seq > 0 {
		p.line("\naudit log: entry %d, %s", st.Audit.Seq, st.Audit.Hash)
	}
	return p.flush()
}

type printer struct {
	w   *tabwriter.Writer
	err error
}

// newPrinter writes aligned text.
func newPrinter(w io.Writer) *printer {
	return &printer{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
}

func (p *printer) flush() error {
	if p.err != nil {
		return p.err
	}
	return p.w.Flush()
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

func (p *printer) head(name string, n int) bool {
	if n > 0 {
		p.line("\n%s", name)
	}
	return n > 0
}

func (p *printer) receivers(rs []Receiver) {
	if !p.head("receivers in detail", len(rs)) {
		return
	}
	for _, r := range rs {
		p.line("  %s\t%s %s/%d\tencryption %s\t%s\t%d records, %d bytes durable", r.Name, r.Protocol, r.Network, r.Port,
			r.Encryption, r.Plugin.line(), r.Records, r.Bytes)
		p.sandbox(r.Plugin)
		for _, s := range r.Sockets {
			p.line("    on %s\t%s\t%s\t%s", s.Interface, s.Local, s.State, s.Error)
		}
		if r.Traffic.KernelDrops > 0 {
			p.line("    dropped by the kernel's socket queue: %d datagrams", r.Traffic.KernelDrops)
		}
		p.drops(r.Dropped)
		p.refusals(r.Refused)
	}
}

func (p *printer) spools(ss []Spool) {
	if !p.head("spools", len(ss)) {
		return
	}
	for _, s := range ss {
		p.line("  %s/%s\t%s\t%d entries, %d bytes\tsequences %d to %d", s.Origin, s.Class, s.State, s.Entries, s.Bytes, s.First, s.Next-1)
		for _, name := range slices.Sorted(maps.Keys(s.Cursors)) {
			c := s.Cursors[name]
			p.line("    %s\tat %d\t%d records behind", name, c.Acked, c.LagRecords)
			if c.Dropped != (Drop{}) {
				p.line("    %s\tdropped before it had them: %d batches, %d records", name, c.Dropped.Batches, c.Dropped.Records)
			}
		}
		if s.Error != "" {
			p.line("    %s", s.Error)
		}
		p.drops(s.Dropped)
		if s.Lost != (Drop{}) {
			p.line("    lost to damage on disk: %d entries, %d records", s.Lost.Batches, s.Lost.Records)
		}
	}
}

func (p *printer) sinks(ss []Sink) {
	if !p.head("sinks", len(ss)) {
		return
	}
	for _, s := range ss {
		p.line("  %s\t%s\t%d records %s\tfrom %s", s.Name, s.Plugin.line(), s.Records, s.Delivery, strings.Join(s.Takes, ", "))
		p.sandbox(s.Plugin)
		if s.Holding != "" {
			p.line("    holding: %s", s.Holding)
		}
		p.drops(s.Dropped)
		p.refusals(s.Refused)
	}
}

func (p *printer) exceptions(st Status) {
	if p.head("exceptions in force", len(st.Exceptions)) {
		for _, e := range st.Exceptions {
			p.line("  %s\t%s on %s\tuntil %s, approved by %s\t%s", e.Name, e.Allows, e.On, e.Until, e.ApprovedBy, e.Reason)
		}
	}
	if p.head("warnings", len(st.Warnings)) {
		for _, w := range st.Warnings {
			p.line("  %s", w)
		}
	}
}

// sandbox says which layers are missing.
func (p *printer) sandbox(pl Plugin) {
	if len(pl.Missing) > 0 {
		p.line("    sandbox DEGRADED, without: %s", strings.Join(pl.Missing, ", "))
	}
}

func (p *printer) drops(by map[string]Drop) {
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		p.line("    dropped (%s): %d batches, %d records", reason, by[reason].Batches, by[reason].Records)
	}
}

func (p *printer) refusals(by map[string]uint64) {
	for _, reason := range slices.Sorted(maps.Keys(by)) {
		p.line("    refused (%s): %d", reason, by[reason])
	}
}

func (pl Plugin) line() string {
	s := pl.Status
	if pl.PID > 0 {
		s += fmt.Sprintf(" (pid %d)", pl.PID)
	}
	if pl.Restarts > 0 {
		s += fmt.Sprintf(", %d restarts", pl.Restarts)
	}
	if pl.LastError != "" && pl.Status != "running" {
		s += ": " + pl.LastError
	}
	return s
}
