package gateway

import (
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/diode/send"
	"github.com/sluice-gateway/sluice/gateway/console"
)

func (l *link) status() console.Link {
	st := console.Link{Name: l.diode.Name, Direction: l.direction, State: "down", Dropped: l.counts.dropped.snapshot()}
	st.Peer = l.diode.To + " " + l.diode.Send.Destination.String()
	if l.direction == "receive" {
		st.Peer = l.diode.From + " at " + l.diode.Receive.Listen.String()
	}
	l.mu.Lock()
	s, failed, f := l.session, l.failed, l.far
	l.mu.Unlock()
	if failed != "" {
		st.State = "down: " + failed
	}
	if s != nil {
		s.show(&st)
	}
	if f != nil {
		t := f.totals()
		st.Lost = console.Drop{Batches: t.Batches, Records: t.Records}
	}
	return st
}

// sending shows a sending end.
type sending struct{ *send.Sender }

func (s sending) show(l *console.Link) {
	st := s.Stats()
	l.State = "up"
	if st.Holding {
		l.State = "holding: " + st.HoldingCause
	}
	l.Send = &console.SendEnd{
		Session: st.Session, Segmentation: st.Segmentation, ShardBytes: st.ShardBytes, DataShards: st.Data, ParityShards: st.Parity,
		Frames: st.Frames, WireBytes: st.WireBytes, Blocks: st.Blocks, Batches: st.Batches, PayloadBytes: st.PayloadBytes,
		Copies: st.Copies, CopiesMissing: st.CopiesMissing, Oversize: st.Oversize, Heartbeats: st.Heartbeats,
		Holds: st.Holds, HoldingSince: st.HoldingSince.UTC(),
	}
}

// receiving shows a receiving end.
type receiving struct{ *recv.Receiver }

func (r receiving) show(l *console.Link) {
	st := r.Stats()
	l.State = string(st.State)
	e := &console.ReceiveEnd{
		Session: st.Session, Epoch: hex.EncodeToString(st.Epoch[:]), LastHeartbeat: st.LastHeartbeat.UTC(),
		ClockOffsetSeconds: st.ClockOffset.Seconds(), Batches: st.Batches, Bytes: st.Bytes, Late: st.Late,
		Duplicates: st.Duplicates, Conflicts: st.Conflicts, Gaps: st.Gaps, GapRecords: st.GapWeight, GapsUnknown: st.GapUnknown,
		Overload: st.Overload, FarErrors: st.FarErrors, Blocks: st.Blocks, BlocksRepaired: st.BlocksRepaired,
		BlocksFailed: st.BlocksFailed, BadBatches: st.BadBatches, Frames: framesOf(st), KernelDrops: st.KernelDrops,
		ReceiveBuffer: st.ReceiveBuffer, MemoryUsed: st.MemoryUsed, MemoryMax: st.MemoryMax, BitsPerSecond: st.BitsPerSecond,
	}
	if json.Valid(st.Health) {
		e.Health = st.Health
	}
	for _, b := range st.Near {
		if int(b.Class) < len(classes()) {
			e.NearAccepted, e.NearSent = b.Accepted, b.Sent
		}
	}
	for _, s := range st.Series {
		if s.Epoch == st.Epoch && int(s.Class) < len(classes()) {
			e.Next, e.Waiting = s.Next, s.Waiting
		}
	}
	l.Receive = e
}

func framesOf(st recv.Stats) console.Frames {
	return console.Frames{
		Accepted: st.Accepted, Surplus: st.Surplus, BadHeader: st.BadHeader, ForeignLink: st.ForeignLink, UnknownKey: st.UnknownKey,
		UnknownSession: st.UnknownSession, Replayed: st.Replayed, BadTag: st.BadTag, BadShape: st.BadShape, BadBody: st.BadBody,
		BadAnnouncement: st.BadAnnouncement, BelowFloor: st.BelowFloor, SenderWentBack: st.SenderWentBack,
		SessionConflicts: st.SessionConflicts, RateLimited: st.RateLimited, Announcements: st.Announcements, Heartbeats: st.Heartbeats,
	}
}

func closeQuietly(c io.Closer) { _ = c.Close() }
