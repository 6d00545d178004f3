package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// LinksText writes links of one node for people.
func LinksText(w io.Writer, node string, links []Link) error {
	p := newPrinter(w)
	p.line("node %s", node)
	for _, l := range links {
		p.link(l)
	}
	return p.flush()
}

// Is reports whether name means this link: its own name, that of its group, or any when it is empty.
func (l Link) Is(name string) bool { return name == "" || name == l.Name || name == l.Group }

func (p *printer) links(ls []Link) {
	if !p.head("links", len(ls)) {
		return
	}
	for _, l := range ls {
		p.link(l)
	}
}

func (p *printer) link(l Link) {
	p.line("  %s\t%s\t%s\t%s", l.Name, l.Direction, l.State, l.Peer)
	for _, a := range l.Alarms {
		p.line("    ALARM: %s", a)
	}
	if l.Group != "" && l.Group != l.Name {
		p.line("    one of the parallel links %s", strings.ReplaceAll(l.Group, "+", " and "))
	}
	for _, x := range l.Pairings {
		p.line("    pairing %s, fingerprint %s", x.Name, x.Fingerprint)
	}
	if l.Direction == "receive" {
		p.missing(l)
	}
	if l.Send != nil {
		p.sendEnd(*l.Send)
	}
	if l.Receive != nil {
		p.receiveEnd(*l.Receive)
	}
	p.drops(l.Dropped)
}

// missing says what is missing now, and what became of all that ever was.
func (p *printer) missing(l Link) {
	if len(l.Gaps) == 0 {
		p.line("    missing: %s", Amount(l.Lost))
		return
	}
	var t GapTotals
	for _, c := range l.Gaps {
		t = t.plus(c)
	}
	p.line("    missing: %s", t.Open)
	if t.OpenRanges > 0 {
		p.line("      %s: sluice diode gaps %s", t.inRanges(), l.Name)
	}
	if t.Declared != (Amount{}) {
		p.line("    ever declared missing %s; filled %s; lost for good %s", t.Declared, t.Filled, t.Final)
	}
}

func (t GapTotals) plus(o GapTotals) GapTotals {
	t.Declared, t.Filled = t.Declared.plus(o.Declared), t.Filled.plus(o.Filled)
	t.Final, t.Open = t.Final.plus(o.Final), t.Open.plus(o.Open)
	t.OpenRanges += o.OpenRanges
	t.Unknown += o.Unknown
	return t
}

// inRanges says how the open ranges are.
func (t GapTotals) inRanges() string {
	s := "in " + plural(t.OpenRanges, "range")
	if t.Unknown > 0 {
		s += fmt.Sprintf(", %d of unknown end", t.Unknown)
	}
	return s
}

func (a Amount) plus(o Amount) Amount {
	return Amount{Batches: a.Batches + o.Batches, Records: a.Records + o.Records}
}

// String implements fmt.Stringer.
func (a Amount) String() string {
	return plural(a.Batches, "batch") + ", " + plural(a.Records, "record")
}

func (p *printer) sendEnd(s SendEnd) {
	for _, c := range s.Classes {
		p.line("    %s\tsent to %d\taccepted to %d\tkeeps from %d%s", c.Class, c.Sent, c.Accepted, c.First, waitingSince(c.Oldest, c.Sent < c.Accepted))
	}
	p.line("    on the wire: %d frames, %s; session %d", s.Frames, byteText(s.WireBytes), s.Session)
	if !s.HoldingSince.IsZero() && s.HoldingSince.Year() > 1 {
		p.line("    last hold of %d began at %s", s.Holds, stamp(s.HoldingSince))
	}
	if r := s.Resend; r != (ResendProgress{}) {
		p.line("    sent again on request: %s, %s; %d still to go, %d no longer kept", plural(r.Sent, "batch"), byteText(r.Bytes), r.Queued, r.Missing)
	}
	if s.Testing {
		p.line("    a test runs: data waits")
	}
}

func waitingSince(t time.Time, waits bool) string {
	if !waits || t.IsZero() {
		return ""
	}
	return ", oldest that waits is of " + stamp(t)
}

func (p *printer) receiveEnd(r ReceiveEnd) {
	for _, c := range r.Classes {
		p.line("    %s\tdue %d\tnear side sent to %d\taccepted to %d\tkeeps from %d%s",
			c.Class, c.Next, c.NearSent, c.NearAccepted, c.NearFirst, waitingSince(c.NearOldest, c.NearSent < c.NearAccepted))
	}
	p.line("    arrived: %s in order, %d late, %d twice; %d frames, %d blocks repaired, %d beyond repair",
		plural(r.Batches, "batch"), r.Late, r.Duplicates, r.Frames.Accepted, r.BlocksRepaired, r.BlocksFailed)
	if r.KernelDrops > 0 {
		p.line("    dropped by the kernel's socket queue: %d datagrams", r.KernelDrops)
	}
	if r.Conflicts > 0 {
		p.line("    contradictions of the sender: %d", r.Conflicts)
	}
	if r.LastHeartbeat.IsZero() || r.LastHeartbeat.Year() <= 1 {
		p.line("    near side: never heard since this node runs")
		return
	}
	p.line("    near side: heard %s, its clock %+.1f s%s", stamp(r.LastHeartbeat), rounded(r.ClockOffsetSeconds), quiet(r))
	if text := healthText(r.Health); text != "" {
		p.line("    near side says: %s", text)
	}
}

// quiet tells a near side that has nothing to send from one that is not heard.
func quiet(r ReceiveEnd) string {
	switch {
	case r.LastBatch.IsZero() || r.LastBatch.Year() <= 1:
		return ", no batch yet"
	case r.LastHeartbeat.Sub(r.LastBatch) > quietAfter:
		return ", quiet: newest batch " + stamp(r.LastBatch)
	}
	return ""
}

// quietAfter is how old the newest batch may be before it is worth a word: a few heartbeats (ours).
const quietAfter = 5 * time.Second

// healthText shows what the near side says of itself, whatever its version: names and values, those inside others with
// a dot between.
func healthText(raw json.RawMessage) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var words []string
	var walk func(name string) bool
	walk = func(name string) bool {
		tok, err := dec.Token()
		if err != nil {
			return false
		}
		switch tok {
		case json.Delim('{'):
			for dec.More() {
				key, err := dec.Token()
				if err != nil || !walk(strings.TrimPrefix(name+"."+fmt.Sprint(key), ".")) {
					return false
				}
			}
			_, err = dec.Token()
		case json.Delim('['):
			for dec.More() {
				if !walk(name) {
					return false
				}
			}
			_, err = dec.Token()
		default:
			words = append(words, clean(fmt.Sprintf("%s %v", name, tok)))
		}
		return err == nil
	}
	walk("")
	return strings.Join(words, ", ")
}

// clean keeps what another machine says from moving the cursor or faking a line.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}

// rounded is never a negative zero when it is shown in tenths.
func rounded(seconds float64) float64 {
	if math.Abs(seconds) < 0.05 {
		return 0
	}
	return seconds
}
