package gateway

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/gateway/spool"
)

// alarmsOf says what an operator has to look at on one receiving end, each with what to do.
func alarmsOf(st recv.Stats, p recv.PathStats) []string {
	var out []string
	alarm := func(on bool, format string, args ...any) {
		if on {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	alarm(p.State == recv.StateSilent, "no heartbeat since %s: the near side or the way is dead; a near side that only has nothing to send is heard every second",
		p.LastHeartbeat.UTC().Format(time.RFC3339))
	alarm(p.Refused != 0, "the sender's state went back: session %d is refused; if you restored or replaced the send node, run sluice diode accept-sender %s, or make a new pairing", p.Refused, p.Link)
	alarm(p.Refused == 0 && p.SenderWentBack > 0, "old sessions of the sender were refused, %d announcements: recordings, or a sender that went back", p.SenderWentBack)
	alarm(p.SessionConflicts > 0, "two senders share one session number: is the send node running twice?")
	alarm(st.SpoolWentBack > 0, "the near side's spool went back: it has fewer batches than are here; what it numbers again is delivered, and marked late")
	alarm(st.Conflicts > 0, "%d batches contradict what the sender sent before: they were delivered, and marked late", st.Conflicts)
	alarm(st.BadBatches > 0, "%d batches were damaged before they were sent", st.BadBatches)
	return append(out, nearAlarms(p.Heartbeat.Health)...)
}

// nearAlarms says what the near side reports of itself, as far as it says so in words that this node knows.
func nearAlarms(health []byte) []string {
	var n struct {
		Guard, Spool     *string
		Plugins, Running int
	}
	if json.Unmarshal(health, &n) != nil {
		return nil
	}
	var out []string
	if n.Guard != nil && *n.Guard != "ok" {
		out = append(out, "near side: its guard says "+fmt.Sprintf("%q", *n.Guard))
	}
	if n.Spool != nil && *n.Spool != string(spool.StateOK) {
		out = append(out, "near side: its spool is "+fmt.Sprintf("%q", *n.Spool))
	}
	if n.Running < n.Plugins {
		out = append(out, fmt.Sprintf("near side: %d of %d receivers run", n.Running, n.Plugins))
	}
	return out
}

// alarms of the ledger.
func (b *books) alarms() []string {
	var out []string
	st := b.ledger.State()
	if st.Err != nil {
		out = append(out, fmt.Sprintf("the gap ledger cannot be written: %v", st.Err))
	}
	if st.Damaged {
		out = append(out, "the gap ledger was damaged: what it held is not known in full; remove the file beside it that ends in .damaged when you have seen this")
	}
	return out
}
