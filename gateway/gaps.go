package gateway

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
	"github.com/sluice-gateway/sluice/diode/ledger"
	"github.com/sluice-gateway/sluice/diode/pairing"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/report"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/hcl/config"
	"github.com/sluice-gateway/sluice/internal/auditlog"
)

// receivingLink finds the end of a link that ends on this node. The error says where the other end is.
func (g *Gateway) receivingLink(name string) (*link, error) {
	return g.findLink(name, "receive", g.view.Send, func(d *config.Diode) error { return console.OtherSide(d.Name, "begins", d.To) })
}

// Gaps lists what a link is missing. Links of one group miss the same.
func (g *Gateway) Gaps(_ context.Context, q console.GapsQuery) (console.GapList, error) {
	l, err := g.receivingLink(q.Link)
	if err != nil {
		return console.GapList{}, err
	}
	ask := ledger.Query{OpenOnly: !q.All}
	if q.Class != "" {
		c, err := classNamed(q.Class)
		if err != nil {
			return console.GapList{}, err
		}
		ask.Classes = []diode.Class{diode.Class(c)}
	}
	b := l.group.books
	entries := b.ledger.List(ask)
	slices.Reverse(entries) // the oldest first
	out := console.GapList{Link: q.Link, Ranges: []console.GapRange{}, Totals: b.totals()}
	kept := b.kept()
	for _, e := range entries {
		out.Ranges = append(out.Ranges, rangesOf(e, kept)...)
	}
	if !q.All {
		out.Ranges = slices.DeleteFunc(out.Ranges, func(r console.GapRange) bool { return r.State != console.GapOpen })
	}
	if q.Limit > 0 && len(out.Ranges) > q.Limit {
		out.More = uint64(len(out.Ranges) - q.Limit)
		out.Ranges = out.Ranges[:q.Limit]
	}
	return out, nil
}

// kept is what the near side's last heartbeat says that it has.
func (b *books) kept() []frame.Series {
	b.heardMu.Lock()
	defer b.heardMu.Unlock()
	return slices.Clone(b.heard)
}

// rangesOf lists what is open of a declaration, range by range, or what became of it when nothing is.
func rangesOf(e ledger.Entry, kept []frame.Series) []console.GapRange {
	whole := console.GapRange{
		Class: className(classes()[min(int(e.Gap.Class), len(classes())-1)]), Epoch: hex.EncodeToString(e.Gap.Epoch[:]),
		First: e.Gap.First, Last: e.Gap.Last, Records: e.Gap.Weight, RecordsKnown: e.Gap.WeightKnown, Reason: e.Gap.Reason,
		DeclaredAt: e.Gap.DeclaredAt.UTC(),
		Before:     console.GapNeighbour{NearAt: utc(e.Gap.Before.Near), FarAt: utc(e.Gap.Before.Far)},
		After:      console.GapNeighbour{NearAt: utc(e.Gap.After.Near), FarAt: utc(e.Gap.After.Far)},
	}
	if len(e.Ranges) == 0 {
		whole.State, whole.How = ended(e)
		whole.ClosedAt = utc(e.Changed)
		return []console.GapRange{whole}
	}
	var out []console.GapRange
	for _, r := range e.Ranges {
		x := whole
		x.State, x.First, x.Last = console.GapOpen, r.First, r.Last
		if len(e.Ranges) == 1 {
			x.Records, x.RecordsKnown = e.Open.Weight, e.Open.Unweighed == 0 && r.Last != 0
		} else {
			x.Records, x.RecordsKnown = 0, false
		}
		x.Resendable = resendable(e.Gap.Class, e.Gap.Epoch, r, kept)
		out = append(out, x)
	}
	return out
}

// ended says what became of a declaration of which nothing is open; what is final weighs more than what was filled.
func ended(e ledger.Entry) (state, how string) {
	switch {
	case e.Final.Batches > 0 || e.Repeat.Batches+e.Resend.Batches == 0:
		return console.GapFinal, e.Why
	case e.Resend.Batches > 0:
		return console.GapFilled, ledger.Resend.String()
	default:
		return console.GapFilled, ledger.Repeat.String()
	}
}

// resendable says that the near side has at least the end of a range.
func resendable(c diode.Class, epoch [16]byte, r ledger.Range, kept []frame.Series) bool {
	for i := range kept {
		s := &kept[i]
		if s.Class != c {
			continue
		}
		switch epoch {
		case s.Epoch.ID:
			return r.Last == 0 || r.Last >= s.First
		default:
			return s.First < s.Epoch.Start && (r.Last == 0 || r.Last >= s.First)
		}
	}
	return false
}

func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

// totals of each class; what was declared is what was filled, is final or is open.
func (b *books) totals() []console.GapTotals {
	out := make([]console.GapTotals, 0, len(classes()))
	for _, c := range classes() {
		out = append(out, console.GapTotals{Class: className(c)})
	}
	for _, r := range b.ledger.Totals() {
		if int(r.Class) >= len(out) {
			continue
		}
		t := &out[r.Class]
		addAmount(&t.Declared, r.Declared)
		addAmount(&t.Filled, r.Repeat)
		addAmount(&t.Filled, r.Resend)
		addAmount(&t.Final, r.Final)
		addAmount(&t.Open, r.Open)
		t.OpenRanges += uint64(max(r.OpenRanges, 0)) // #nosec G115 -- not negative
		t.Unknown += r.OpenTails
	}
	return out
}

func addAmount(to *console.Amount, a ledger.Amount) {
	to.Batches += a.Batches
	to.Records += a.Weight
}

// GapReport is the file of everything that is open, under the pairing that the near side uses: during a rotation it may
// know only one of both.
func (g *Gateway) GapReport(_ context.Context, name string) ([]byte, error) {
	l, err := g.receivingLink(name)
	if err != nil {
		return nil, err
	}
	entries, left := report.From(l.group.books.ledger.Missing())
	if len(entries) == 0 {
		return nil, console.Errorf(console.CodeRefused, "%s: nothing is missing that could be sent again", name)
	}
	if left > 0 {
		l.log.Warn("the gap report has no room for everything: make another one when these have come", "left_out", left)
	}
	p := l.pairingInUse()
	var b bytes.Buffer
	err = report.Write(&b, report.Report{MadeAt: time.Now(), Entries: entries}, report.Key{LinkID: frame.LinkID(name), KeyID: p.KeyID, PSK: p.PSK()})
	if err != nil {
		return nil, internal(name, err)
	}
	return b.Bytes(), nil
}

// pairingInUse is that of the newest session, or the configured one while none was heard.
func (l *link) pairingInUse() pairing.File {
	if r, _ := l.group.running(); r != nil {
		for _, p := range r.Stats().Paths {
			if i := l.pairingOf(p.Key); p.Link == l.diode.Name && p.Session > 0 && i >= 0 {
				return l.pairings[i]
			}
		}
	}
	return l.pairings[0]
}

func (l *link) pairingOf(key uint32) int {
	return slices.IndexFunc(l.pairings, func(p pairing.File) bool { return p.KeyID == key })
}

// AcceptSender lets a sender in whose state went back.
func (g *Gateway) AcceptSender(ctx context.Context, name, who string) (console.Acceptance, error) {
	l, err := g.receivingLink(name)
	if err != nil {
		return console.Acceptance{}, err
	}
	r, _ := l.group.running()
	if r == nil {
		return console.Acceptance{}, console.Errorf(console.CodeNotNow, "%s does not run: see sluice diode doctor %s", name, name)
	}
	if err := g.noteFor(ctx, auditlog.Entry{What: auditlog.AcceptSender, Object: "diode " + name}); err != nil {
		return console.Acceptance{}, err
	}
	began := g.acceptNearLog(name)
	a, err := r.AcceptSender(name)
	if errors.Is(err, recv.ErrNoneRefused) && began {
		return console.Acceptance{Link: name, AuditLog: true}, nil
	}
	if err != nil {
		return console.Acceptance{}, acceptError(name, l.diode.From, err)
	}
	out := console.Acceptance{Link: name, AuditLog: began, Session: a.Session, Was: a.Floor, Floor: a.Session}
	if i := l.pairingOf(a.Key); i >= 0 {
		out.Pairing = l.pairings[i].Pairing
	}
	l.log.Warn("a sender whose state went back was accepted", "who", cmp.Or(who, "unknown"), "pairing", out.Pairing, "floor_was", out.Was, "floor", out.Floor)
	return out, nil
}
