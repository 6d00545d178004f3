package recv

import (
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// State says what the far side knows of the near one.
type State string

// The states of a path, and of all together: as good as the best.
const (
	StateWaiting State = "waiting" // no authentic heartbeat since the start
	StateUp      State = "up"      // heartbeats come
	StateSilent  State = "silent"  // none for AlarmAfter
)

// Frames counts datagrams by outcome, and what they told.
type Frames struct {
	Accepted         uint64
	Surplus          uint64 // not opened: their block was complete, or they came twice
	BadHeader        uint64
	ForeignLink      uint64
	UnknownKey       uint64
	UnknownSession   uint64
	Replayed         uint64
	BadTag           uint64
	BadShape         uint64
	BadBody          uint64
	BadAnnouncement  uint64
	BelowFloor       uint64
	SenderWentBack   uint64 // authentic among those, as far as looked at: an alarm
	SessionConflicts uint64 // alarm: two senders share one session number
	RateLimited      uint64 // announcements that were not looked at
	Announcements    uint64
	Heartbeats       uint64
	Tests            uint64 // frames of self-tests
	Sessions         uint64
	KernelDrops      uint64 // datagrams; SO_RXQ_OVFL, or as the connection says
}

// Stats is what a receiver has seen so far.
type Stats struct {
	Frames // of all paths
	State  State
	Paths  []PathStats
	Series []SeriesStats

	Blocks         uint64 // complete, repaired ones included
	BlocksRepaired uint64
	BlocksFailed   uint64
	BadBatches     uint64 // header or digest wrong: a fault of the sender

	Batches       uint64 // delivered in order
	Bytes         uint64 // payload of all delivered
	Late          uint64 // delivered outside the order
	Resent        uint64 // of those, because an operator asked for them
	Duplicates    uint64
	Conflicts     uint64 // alarm: a known sequence with other content, or a running sum that does not add up
	SpoolWentBack uint64 // alarm: the sender has fewer batches of an epoch than are here
	Gaps          uint64
	GapWeight     uint64 // of those whose weight is known
	GapUnknown    uint64 // gaps of unknown weight
	Overload      uint64 // batches dropped because memory was full
	FarErrors     uint64 // batches that the sink could not store

	MemoryUsed    int64 // bytes of batches held, and of shards
	MemoryMax     int64 // highest so far
	BitsPerSecond float64
}

// PathStats is where one path stands.
type PathStats struct {
	Link  string
	State State
	Frames
	Session       uint64
	Key           uint32
	LastHeartbeat time.Time       // by the clock of this side
	ClockOffset   time.Duration   // sender's clock minus ours at LastHeartbeat, transit included
	Heartbeat     frame.Heartbeat // the last one; Series and Health are not to be changed
	Refused       uint64          // session that AcceptSender would let in; 0: none
	ReceiveBuffer int             // bytes granted, as the kernel counts them
}

// SeriesStats is where one series stands.
type SeriesStats struct {
	Epoch    [16]byte
	Class    diode.Class
	Current  bool   // heartbeats name it, or it is the newest known
	Ended    bool   // another epoch has followed
	Contact  bool   // a position is known
	Next     uint64 // next sequence expected
	Sum      uint64 // running sum before it
	Waiting  int    // batches that wait for one before them
	Open     int    // ranges that are missing, as far as remembered
	Sent     uint64 // sent-through of the last heartbeat of any path
	Accepted uint64 // accepted-through of the last heartbeat
}

// Stats returns the figures so far. Safe at any time.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	now := time.Now()
	s.State = StateWaiting
	for _, p := range r.paths {
		x := p.show(now)
		s.Paths = append(s.Paths, x)
		s.add(&x.Frames)
		if x.State == StateUp || s.State == StateWaiting {
			s.State = x.State
		}
	}
	s.MemoryUsed = r.memory.used.Load() + r.pool.inUse
	s.FarErrors = r.farErrors.Load()
	for _, w := range r.rows {
		for i, x := range w.list {
			current := x == w.current || (w.current == nil && i == len(w.list)-1)
			s.Series = append(s.Series, x.show(current))
		}
	}
	return s
}

func (s *series) show(current bool) SeriesStats {
	out := SeriesStats{
		Epoch: s.epoch, Class: s.class, Current: current, Ended: s.ended, Contact: s.contact, Next: s.next, Sum: s.sum,
		Waiting: len(s.waiting), Open: len(s.holes.list), Accepted: s.accepted,
	}
	for i := range s.said {
		if n := len(s.said[i].list); n > 0 {
			out.Sent = max(out.Sent, s.said[i].list[n-1].seq)
		}
	}
	return out
}

func (p *path) show(now time.Time) PathStats {
	s := PathStats{
		Link: p.cfg.Link, State: p.state(now), Frames: p.frames, LastHeartbeat: p.beatAt, ClockOffset: p.offset,
		Heartbeat: p.beat, ReceiveBuffer: p.granted,
	}
	if x := p.active; x != nil {
		s.Session, s.Key = x.id, x.key.ID
	}
	if p.refused.key != nil && now.Sub(p.refused.at) <= refusedFor {
		s.Refused = p.refused.session
	}
	return s
}

func (f *Frames) add(o *Frames) {
	f.Accepted += o.Accepted
	f.Surplus += o.Surplus
	f.BadHeader += o.BadHeader
	f.ForeignLink += o.ForeignLink
	f.UnknownKey += o.UnknownKey
	f.UnknownSession += o.UnknownSession
	f.Replayed += o.Replayed
	f.BadTag += o.BadTag
	f.BadShape += o.BadShape
	f.BadBody += o.BadBody
	f.BadAnnouncement += o.BadAnnouncement
	f.BelowFloor += o.BelowFloor
	f.SenderWentBack += o.SenderWentBack
	f.SessionConflicts += o.SessionConflicts
	f.RateLimited += o.RateLimited
	f.Announcements += o.Announcements
	f.Heartbeats += o.Heartbeats
	f.Tests += o.Tests
	f.Sessions += o.Sessions
	f.KernelDrops += o.KernelDrops
}

// path returns the path of that link.
func (r *Receiver) path(link string) (*path, error) {
	for _, p := range r.paths {
		if p.cfg.Link == link {
			return p, nil
		}
	}
	return nil, fmt.Errorf("recv: no link %q here", link)
}
