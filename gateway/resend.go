package gateway

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/report"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
	"github.com/sluice-gateway/sluice/internal/auditlog"
	"github.com/sluice-gateway/sluice/sdk"
)

// wireShare is what a byte of a batch takes on the wire, about, while the link does not say which shape it sends: 192
// data and 32 repair frames (diode.md).
const wireShare = 1.254

// asked is what a request wants of one class.
type asked struct {
	class   sdk.Class
	ranges  []diode.Range // rising, not overlapping
	missing uint64        // batches left out of ranges: they are not kept, or never were there
}

// Resend queues batches again that the far side misses, or with DryRun says how much that would be. What is no longer
// kept is counted and left out.
//
//	typed ranges ────────────────────────────┐
//	report ─> authentic? ─> epoch ours? ─────┴─> what is kept ─> weighed ─> queued at the link
func (g *Gateway) Resend(ctx context.Context, r console.ResendRequest) (console.Resend, error) {
	l, err := g.sendingLink(r.Link)
	if err != nil {
		return console.Resend{}, err
	}
	out := console.Resend{Link: r.Link, DryRun: r.DryRun, RateBits: uint64(l.diode.Send.ResendRate), Classes: []console.ResendClass{}}
	parts, refused, err := l.wanted(ctx, r)
	if err != nil {
		return console.Resend{}, err
	}
	out.Refused = refused
	for i := range parts {
		c, err := parts[i].weigh(ctx, l.origin.log(parts[i].class))
		if err != nil {
			return console.Resend{}, internal(r.Link, err)
		}
		out.Classes = append(out.Classes, c)
		out.Batches, out.Records, out.Bytes, out.Missing = out.Batches+c.Batches, out.Records+c.Records, out.Bytes+c.Bytes, out.Missing+c.Missing
	}
	out.Seconds = float64(out.Bytes) * 8 * l.wireShare() / float64(max(out.RateBits, 1))
	if r.DryRun {
		return out, nil
	}
	err = g.noteFor(ctx, auditlog.Entry{
		What: auditlog.Resend, Object: "diode " + r.Link, Detail: fmt.Sprintf("%d batches, %d records, %d bytes", out.Batches, out.Records, out.Bytes),
	})
	if err != nil {
		return console.Resend{}, err
	}
	return out, l.queue(parts, r.Who, out)
}

// queue hands the parts to the session that runs, and writes down who asked.
func (l *link) queue(parts []asked, who string, total console.Resend) error {
	s, err := l.sender()
	if err != nil {
		return err
	}
	for _, p := range parts {
		if len(p.ranges) == 0 {
			continue
		}
		if err := l.unsent.queue(s, diode.Class(p.class), p.ranges); err != nil {
			return console.Errorf(console.CodeRefused, "%s: class %s: %v", l.diode.Name, className(p.class), err)
		}
		l.log.Warn("resend asked for", "who", who, "class", className(p.class), "ranges", rangesText(p.ranges))
	}
	l.log.Warn("resend queued", "who", who, "batches", total.Batches, "records", total.Records, "bytes", total.Bytes, "missing", total.Missing)
	return nil
}

// wanted reads the request.
func (l *link) wanted(ctx context.Context, r console.ResendRequest) (parts []asked, refused []string, err error) {
	switch {
	case (r.Ranges == "") == (len(r.Report) == 0):
		return nil, nil, console.Errorf(console.CodeBadRequest, "%s: give ranges or a report, one of them", r.Link)
	case r.Ranges != "":
		p, err := typed(r.Link, r.Class, r.Ranges)
		return []asked{p}, nil, err
	case r.Class != "":
		return nil, nil, console.Errorf(console.CodeBadRequest, "%s: a report names the classes itself: leave the class out", r.Link)
	}
	return l.reported(ctx, r.Report)
}

// typed reads what an operator has typed.
func typed(link, class, text string) (asked, error) {
	c, err := classNamed(class)
	if err != nil {
		return asked{}, err
	}
	ranges, err := report.ParseRanges(text)
	if err != nil {
		return asked{}, badRequest(link, err)
	}
	return asked{class: c, ranges: ranges}, nil
}

// reported reads the far side's report. What it names of epochs that are not in the spool is refused by name.
func (l *link) reported(ctx context.Context, b []byte) (parts []asked, refused []string, err error) {
	rep, err := l.readReport(b)
	if err != nil {
		return nil, nil, err
	}
	for _, c := range classes() {
		eras, err := erasOf(ctx, l.origin.log(c))
		if err != nil {
			return nil, nil, internal(l.diode.Name, err)
		}
		a := asked{class: c}
		foreign := map[[16]byte]int{}
		for _, e := range rep.Entries {
			if e.Class == diode.Class(c) && !a.take(eras, e) {
				foreign[e.Epoch]++
			}
		}
		if len(a.ranges) > 0 || a.missing > 0 {
			parts = append(parts, a)
		}
		for epoch, n := range foreign {
			refused = append(refused, fmt.Sprintf("%d ranges of class %s in epoch %s: the spool of this node holds nothing of it",
				n, className(c), hex.EncodeToString(epoch[:])))
		}
	}
	for _, e := range rep.Entries {
		if int(e.Class) >= len(classes()) {
			refused = append(refused, fmt.Sprintf("class %d: this node does not know it", e.Class))
		}
	}
	return parts, refused, nil
}

// readReport reads a report under any pairing that this end has.
func (l *link) readReport(b []byte) (rep report.Report, err error) {
	for _, p := range l.pairings {
		rep, err = report.Read(b, report.Key{LinkID: frame.LinkID(l.diode.Name), KeyID: p.KeyID, PSK: p.PSK()})
		if err == nil {
			return rep, nil
		}
	}
	return rep, console.Errorf(console.CodeRefused, "%s: report: %v: make it anew with sluice diode gaps %s --report FILE on %s",
		l.diode.Name, err, l.diode.Name, l.diode.To)
}

// take adds the part of an entry that lies in the era which it names. It is false when there is no such era.
func (a *asked) take(eras []era, e report.Entry) bool {
	for _, x := range eras {
		if x.epoch != e.Epoch {
			continue
		}
		if e.Last == 0 {
			e.Last = max(x.last, e.First)
		}
		first, last := max(e.First, x.first), min(e.Last, x.last)
		a.missing += e.Last - e.First + 1
		if first <= last {
			a.ranges = append(a.ranges, diode.Range{First: first, Last: last})
			a.missing -= last - first + 1
		}
		return true
	}
	return false
}

// weigh cuts the ranges down to what is kept and adds up what that is.
func (a *asked) weigh(ctx context.Context, log *spool.Log) (console.ResendClass, error) {
	epoch := log.Epoch()
	out := console.ResendClass{Class: className(a.class), Epoch: hex.EncodeToString(epoch[:])}
	var kept []diode.Range
	for _, r := range a.ranges {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		r, missing := cut(log, r)
		a.missing += missing
		if r.First > r.Last {
			continue
		}
		entries, weight, bytes, err := log.Weigh(r.First, r.Last)
		if gone := (spool.ErrGone{}); errors.As(err, &gone) { // meanwhile
			a.missing += r.Last - r.First + 1
			continue
		}
		if err != nil {
			return out, err
		}
		kept = append(kept, r)
		out.Batches, out.Records, out.Bytes = out.Batches+entries, out.Records+weight, out.Bytes+uint64(max(bytes, 0))
	}
	a.ranges, out.Missing = kept, a.missing
	if n := len(kept); n > 0 {
		if e, err := log.Read(kept[n-1].Last, nil); err == nil {
			out.Epoch = hex.EncodeToString(e.Epoch[:])
		}
	}
	return out, nil
}

// cut leaves of a range what a log keeps; missing is the rest.
func cut(log *spool.Log, r diode.Range) (kept diode.Range, missing uint64) {
	first, next, _ := log.Bounds()
	kept = diode.Range{First: max(r.First, first), Last: min(r.Last, next-1)}
	all := r.Last - r.First + 1
	if kept.First > kept.Last {
		return kept, all
	}
	return kept, all - (kept.Last - kept.First + 1)
}

// wireShare is what a byte of a full block takes on the wire.
func (l *link) wireShare() float64 {
	s, err := l.sender()
	if err != nil {
		return wireShare
	}
	st := s.Stats()
	c := st.Classes[diode.Bulk]
	if c.Data == 0 || st.ShardBytes == 0 {
		return wireShare
	}
	share := float64(c.Data+c.Parity) / float64(c.Data) * (1 + frameOverhead/float64(st.ShardBytes))
	return math.Ceil(share*1000) / 1000
}

// frameOverhead is what surrounds a shard on the wire, bytes: our header and tag, UDP, IPv4, Ethernet with preamble,
// checksum and gap (IEEE 802.3).
const frameOverhead = frame.Overhead + 8 + 20 + 38

// rangesText is for the log: the beginning of a long list says enough.
func rangesText(ranges []diode.Range) string {
	const most = 16
	text := report.FormatRanges(ranges[:min(len(ranges), most)])
	if n := len(ranges) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}
