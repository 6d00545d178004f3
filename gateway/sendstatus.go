package gateway

import (
	"encoding/hex"
	"fmt"

	"github.com/sluice-gateway/sluice/gateway/console"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// show is the sending end in status.
func (s *sending) show(l *console.Link) {
	st := s.Stats()
	l.State = "up"
	switch {
	case st.Holding:
		l.State = "holding: " + st.HoldingCause
	case st.SessionProblem != "":
		l.State = "no session: " + st.SessionProblem
	}
	e := &console.SendEnd{
		Session: st.Session, SessionAhead: st.SessionAhead.Seconds(), Segmentation: st.Segmentation, ShardBytes: st.ShardBytes,
		Frames: st.Frames, WireBytes: st.WireBytes, Blocks: st.Blocks, Batches: st.Batches, PayloadBytes: st.PayloadBytes,
		Copies: st.Copies, CopiesMissing: st.CopiesMissing, Oversize: st.Oversize, Heartbeats: st.Heartbeats,
		Holds: st.Holds, HoldingSince: st.HoldingSince.UTC(), Classes: []console.SendClass{}, Testing: s.testing.Load() > 0,
		Resend: console.ResendProgress{Queued: st.Resend.Queued, Sent: st.Resend.Sent, Missing: st.Resend.Missing, Bytes: st.Resend.Bytes},
	}
	for i, x := range s.sources {
		c := st.Classes[x.class]
		if i == 0 {
			e.DataShards, e.ParityShards = c.Data, c.Parity
		}
		e.Classes = append(e.Classes, console.SendClass{
			Class: className(classes()[x.class]), Epoch: hex.EncodeToString(x.epoch.ID[:]),
			First: c.First, Accepted: c.Accepted, Sent: x.cursor.Acked(), Oldest: x.Oldest(),
		})
	}
	l.Send = e
	if st.SessionAhead > aheadMost {
		l.Alarms = append(l.Alarms, fmt.Sprintf("the session's number is %s ahead of the clock: the clock is wrong, or was: set it", st.SessionAhead))
	}
	if st.Oversize > 0 {
		l.Alarms = append(l.Alarms, fmt.Sprintf("%d batches were too large for the link and left out; the far side names them as a gap", st.Oversize))
	}
	for i, x := range s.sources {
		if sp := x.log.Stats(); sp.State != spool.StateOK {
			l.Alarms = append(l.Alarms, fmt.Sprintf("spool %s is %s (%s): free the disk or raise spool.max_size", className(classes()[i]), sp.State, sp.StateError))
		}
	}
}
