package gateway

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode/recv"
)

const (
	// clockMost is how far the two clocks may be apart before times that are shown side by side mislead (ours).
	clockMost = 10 * time.Second
	// repairsPercent of the blocks that needed repair are more than a link without loss shows (ours).
	repairsPercent = 1
)

// examine says what a receiving end finds of itself.
func (r receiving) examine(f *findings) {
	st := r.Stats()
	for _, p := range st.Paths {
		if p.Link == f.link {
			f.heard(p)
			f.accepted(p)
			f.clock(p)
			f.losses(st, p)
			f.nearSays(p.Heartbeat.Health)
		}
	}
	for _, t := range r.group.books.totals() {
		if t.OpenRanges == 0 {
			f.ok("gaps "+t.Class, "none open")
			continue
		}
		f.warn("gaps "+t.Class, fmt.Sprintf("%d batches in %d ranges are missing", t.Open.Batches, t.OpenRanges),
			fmt.Sprintf("sluice diode gaps %s says which; the near side can send them again", f.link))
	}
}

// heard says whether the near side speaks, and if not, what comes instead.
func (f *findings) heard(p recv.PathStats) {
	switch {
	case p.State == recv.StateUp:
		f.ok("link", fmt.Sprintf("up, session %d, heartbeat at %s", p.Session, p.LastHeartbeat.UTC().Format(time.RFC3339)))
	case p.State == recv.StateSilent:
		f.bad("link", "no heartbeat since "+p.LastHeartbeat.UTC().Format(time.RFC3339),
			"run sluice diode doctor "+f.link+" on the near side; a near side that has nothing to send is heard every second all the same")
	case p.UnknownKey > 0:
		f.bad("link", fmt.Sprintf("nothing authentic: %d frames are of another pairing", p.UnknownKey),
			"give both nodes the files of one pairing, or name the sender's in previous_pairing")
	case p.ForeignLink > 0:
		f.bad("link", fmt.Sprintf("nothing authentic: %d frames are of a link of another name", p.ForeignLink), "name the diode alike on both sides, and look at the cabling")
	case p.BadAnnouncement > 0:
		f.bad("link", fmt.Sprintf("%d announcements are not authentic under our pairing", p.BadAnnouncement),
			"compare the fingerprints of both sides in sluice status: they were made in two runs, or somebody forges")
	default:
		f.bad("link", "nothing authentic has come since the start", "what is bad below says why; else run sluice diode doctor "+f.link+" on the near side")
	}
}

func (f *findings) accepted(p recv.PathStats) {
	switch {
	case p.Refused != 0:
		f.bad("session", fmt.Sprintf("%d is refused: the sender's state went back", p.Refused),
			fmt.Sprintf("if you restored or replaced the send node: sluice diode accept-sender %s, or make a new pairing; if not, somebody plays a recording", f.link))
	case p.SessionConflicts > 0:
		f.bad("session", "two senders share one session number", "find the second send node that runs with this pairing and stop it")
	default:
		f.ok("session", "accepted")
	}
}

func (f *findings) clock(p recv.PathStats) {
	if p.LastHeartbeat.IsZero() {
		return
	}
	text := fmt.Sprintf("the near side's is %s ahead of ours, transit included", p.ClockOffset.Round(time.Millisecond))
	if p.ClockOffset.Abs() > clockMost {
		f.warn("clock", text, "set both clocks: the link does not need it, but times from both sides stand side by side")
		return
	}
	f.ok("clock", text)
}

// losses looks at what is lost on this side of the wire, and on it.
func (f *findings) losses(st recv.Stats, p recv.PathStats) {
	if p.KernelDrops > 0 {
		f.bad("kernel drops", fmt.Sprintf("%d datagrams since the start", p.KernelDrops), "raise net.core.rmem_max to 64 MiB, give the reader a core, or lower the rate")
	} else {
		f.ok("kernel drops", "none")
	}
	if st.Overload > 0 {
		f.bad("memory", fmt.Sprintf("%d batches dropped: more waited than receive.memory allows", st.Overload), "raise receive.memory, or find out why the spool is slow")
	} else {
		f.ok("memory", fmt.Sprintf("%d MiB at most so far", st.MemoryMax>>20))
	}
	switch {
	case st.BlocksFailed > 0:
		f.warn("repair", fmt.Sprintf("%d of %d blocks were beyond repair", st.BlocksFailed, st.Blocks+st.BlocksFailed),
			fmt.Sprintf("measure the link: sluice diode test %s on the near side, then with --report here; it recommends parity and interleave", f.link))
	case st.BlocksRepaired*100 > st.Blocks*repairsPercent:
		f.warn("repair", fmt.Sprintf("%d of %d blocks needed it: frames are lost on the way", st.BlocksRepaired, st.Blocks), "look at cables, converters and the rate")
	default:
		f.ok("repair", fmt.Sprintf("%d of %d blocks needed it", st.BlocksRepaired, st.Blocks))
	}
}

// nearSays shows what the near side reports of itself.
func (f *findings) nearSays(health []byte) {
	if len(health) == 0 {
		return
	}
	if alarms := nearAlarms(health); len(alarms) > 0 {
		for _, a := range alarms {
			f.warn("near side", a, "run sluice status there")
		}
		return
	}
	f.ok("near side", "reports nothing wrong")
}

// sameConfig holds the near side's configuration against this node's, by digest.
func (f *findings) sameConfig(l *link, digest []byte) {
	l.mu.Lock()
	r, ok := l.session.(receiving)
	l.mu.Unlock()
	if !ok {
		return
	}
	for _, p := range r.Stats().Paths {
		var n near
		if p.Link != f.link || json.Unmarshal(p.Heartbeat.Health, &n) != nil || n.Config == "" {
			continue
		}
		if ours := hex.EncodeToString(digest); n.Config != ours {
			f.warn("configuration", fmt.Sprintf("%s on the near side, %s here", n.Config, ours), "bring the same files to both nodes and restart them")
			continue
		}
		f.ok("configuration", "the same on both sides")
	}
}
