package recv

import (
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// State says what the far side knows of the near one.
type State string

// The states of a link.
const (
	StateWaiting State = "waiting" // no authentic heartbeat since the start
	StateUp      State = "up"      // heartbeats come
	StateSilent  State = "silent"  // none for AlarmAfter
)

// Stats is what a receiver has seen so far.
type Stats struct {
	State         State
	Session       uint64
	Epoch         [16]byte
	LastHeartbeat time.Time     // by the clock of this side
	HeartbeatGap  time.Duration // until the next one, as the sender says
	ClockOffset   time.Duration // sender's clock minus ours at LastHeartbeat, transit included
	Health        []byte        // the near side's, opaque
	Near          []frame.Bounds

	// Datagrams by outcome.
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
	RateLimited      uint64
	Announcements    uint64
	Heartbeats       uint64
	Sessions         uint64

	Blocks         uint64 // complete, repaired ones included
	BlocksRepaired uint64
	BlocksFailed   uint64
	BadBatches     uint64 // header or digest wrong: a fault of the sender

	Batches    uint64 // delivered in order
	Bytes      uint64 // payload of all delivered
	Late       uint64 // delivered outside the order
	Duplicates uint64
	Conflicts  uint64 // alarm: a known sequence with other content, or a running sum that does not add up
	Gaps       uint64
	GapWeight  uint64 // of those whose weight is known
	GapUnknown uint64 // gaps of unknown weight
	Overload   uint64 // batches dropped because memory was full
	FarErrors  uint64 // batches that the sink could not store

	KernelDrops   uint64 // datagrams, SO_RXQ_OVFL
	ReceiveBuffer int    // bytes granted, as the kernel counts them
	MemoryUsed    int64  // bytes of batches held, and of shards
	MemoryMax     int64  // highest so far
	BitsPerSecond float64
	Series        []SeriesStats
}

// SeriesStats is where one series stands.
type SeriesStats struct {
	Epoch    [16]byte
	Class    diode.Class
	Contact  bool   // a position is known
	Next     uint64 // next sequence expected
	Sum      uint64 // running sum before it
	Waiting  int    // batches that wait for one before them
	Sent     uint64 // sent-through of the last heartbeat
	Accepted uint64 // accepted-through of the last heartbeat
}

// Stats returns the figures so far. Safe at any time.
func (r *Receiver) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.State = r.state(time.Now())
	s.Near = append([]frame.Bounds(nil), r.stats.Near...)
	s.MemoryUsed = r.memory.used.Load() + r.pool.inUse
	s.FarErrors = r.farErrors.Load()
	for _, x := range r.series {
		s.Series = append(s.Series, SeriesStats{
			Epoch: x.epoch, Class: x.class, Contact: x.contact, Next: x.next, Sum: x.sum,
			Waiting: len(x.waiting), Sent: x.through, Accepted: x.accepted,
		})
	}
	return s
}

func (r *Receiver) state(now time.Time) State {
	switch {
	case r.stats.LastHeartbeat.IsZero():
		return StateWaiting
	case now.Sub(r.stats.LastHeartbeat) > r.cfg.AlarmAfter:
		return StateSilent
	default:
		return StateUp
	}
}
