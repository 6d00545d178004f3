package gateway

import (
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

func (l *link) status() console.Link {
	st := console.Link{Name: l.diode.Name, Direction: l.direction, State: "down"}
	for _, p := range l.pairings {
		st.Pairings = append(st.Pairings, console.Pairing{Name: p.Pairing, Fingerprint: p.Fingerprint})
	}
	st.Peer = l.diode.To + " " + l.diode.Send.Destination.String()
	if l.direction == "receive" {
		st.Peer = l.diode.From + " at " + l.diode.Receive.Listen.String()
	}
	l.mu.Lock()
	s, failed := l.session, l.failed
	l.mu.Unlock()
	if s != nil {
		s.show(&st)
	}
	if failed != "" {
		st.State = "down: " + failed
	}
	if l.group != nil {
		l.group.show(&st)
	}
	return st
}

// show adds what all links of the group share and what there is without a session too.
func (x *group) show(st *console.Link) {
	if len(x.ends) > 1 {
		st.Group = x.name
	}
	st.Dropped = x.counts.dropped.snapshot()
	if _, f := x.running(); f != nil {
		t := f.totals()
		st.Lost = console.Drop{Batches: t.Batches, Records: t.Records}
	}
	st.Gaps = x.books.totals()
	st.Alarms = append(st.Alarms, x.books.alarms()...)
	for i, l := range x.origin.logs {
		if s := l.Stats(); s.State != spool.StateOK {
			st.Alarms = append(st.Alarms, fmt.Sprintf("spool %s is %s (%s): what comes is lost here, and named; free the disk or raise spool.max_size",
				className(classes()[i]), s.State, s.StateError))
		}
	}
}

// receiving shows a receiving end.
type receiving struct {
	*recv.Receiver
	group *group
}

func (r receiving) show(l *console.Link) {
	st := r.Stats()
	e := &console.ReceiveEnd{
		Batches: st.Batches, Bytes: st.Bytes, Late: st.Late, Classes: []console.ReceiveClass{},
		Duplicates: st.Duplicates, Conflicts: st.Conflicts, Gaps: st.Gaps, GapRecords: st.GapWeight, GapsUnknown: st.GapUnknown,
		Overload: st.Overload, FarErrors: st.FarErrors, Blocks: st.Blocks, BlocksRepaired: st.BlocksRepaired,
		BlocksFailed: st.BlocksFailed, BadBatches: st.BadBatches, MemoryUsed: st.MemoryUsed, MemoryMax: st.MemoryMax,
		BitsPerSecond: st.BitsPerSecond,
	}
	if _, f := r.group.running(); f != nil {
		e.LastBatch = f.lastBatch().UTC()
	}
	l.Receive = e
	for _, p := range st.Paths {
		if p.Link != l.Name {
			continue
		}
		l.State = string(p.State)
		showPath(e, p)
		e.Classes = receiveClasses(st, p)
		l.Alarms = append(l.Alarms, alarmsOf(st, p)...)
	}
}

func showPath(e *console.ReceiveEnd, p recv.PathStats) {
	e.Session, e.LastHeartbeat, e.ClockOffsetSeconds = p.Session, p.LastHeartbeat.UTC(), p.ClockOffset.Seconds()
	e.Frames, e.KernelDrops, e.ReceiveBuffer = framesOf(p.Frames), p.KernelDrops, p.ReceiveBuffer
	if json.Valid(p.Heartbeat.Health) {
		e.Health = p.Heartbeat.Health
	}
}

// receiveClasses joins what the near side says of its classes with where they stand here.
func receiveClasses(st recv.Stats, p recv.PathStats) []console.ReceiveClass {
	out := []console.ReceiveClass{}
	for _, c := range classes() {
		x := console.ReceiveClass{Class: className(c)}
		for _, s := range p.Heartbeat.Series {
			if s.Class == diode.Class(c) {
				x.Epoch, x.NearFirst, x.NearAccepted, x.NearSent = hex.EncodeToString(s.Epoch.ID[:]), s.First, s.Accepted, s.Sent
				x.NearOldest = s.Oldest
			}
		}
		for _, s := range st.Series {
			if s.Class == diode.Class(c) && s.Current {
				x.Epoch, x.Next, x.Waiting = hex.EncodeToString(s.Epoch[:]), s.Next, s.Waiting
			}
		}
		out = append(out, x)
	}
	return out
}

func framesOf(st recv.Frames) console.Frames {
	return console.Frames{
		Accepted: st.Accepted, Surplus: st.Surplus, BadHeader: st.BadHeader, ForeignLink: st.ForeignLink, UnknownKey: st.UnknownKey,
		UnknownSession: st.UnknownSession, Replayed: st.Replayed, BadTag: st.BadTag, BadShape: st.BadShape, BadBody: st.BadBody,
		BadAnnouncement: st.BadAnnouncement, BelowFloor: st.BelowFloor, SenderWentBack: st.SenderWentBack,
		SessionConflicts: st.SessionConflicts, RateLimited: st.RateLimited, Announcements: st.Announcements, Heartbeats: st.Heartbeats,
	}
}
