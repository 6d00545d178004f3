package send

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// Stats is what a sender has done so far.
type Stats struct {
	Session uint64 // in use; 0: none yet
	// SessionAhead is how far its number is ahead of the clock: a clock that was
	// wrong once, or has gone back. 0: it is not.
	SessionAhead time.Duration
	// SessionProblem says why no session, or not the next one, can be opened;
	// it is tried again every second.
	SessionProblem string

	Holding       bool      // the kernel does not take frames; nothing is lost
	HoldingSince  time.Time // when Holding
	HoldingCause  string    // when Holding
	Holds         uint64    // times that it began to hold
	Segmentation  bool      // UDP_SEGMENT in use
	ShardBytes    int
	Frames        uint64
	WireBytes     uint64 // Ethernet framing included
	Blocks        uint64
	Batches       uint64 // first time on the wire
	PayloadBytes  uint64 // of those
	Copies        uint64 // batches sent again: repeats and after errors
	CopiesMissing uint64 // no longer retained, or changed, when their copy was due
	Resend        ResendState
	Oversize      uint64 // batches above diode.MaxBatchBytes, left out
	Heartbeats    uint64
	Classes       map[diode.Class]ClassStats
}

// ClassStats is what is known of one class.
type ClassStats struct {
	Sent     uint64 // as last told to Source.Sent
	Accepted uint64 // last sequence in the source
	First    uint64 // first sequence retained

	Data, Parity int // shape of full blocks
}

// maxAhead is the longest SessionAhead, in seconds: 100 years.
const maxAhead = 100 * 365 * 24 * 3600

type counters struct {
	session, holds, frames, wireBytes, blocks        atomic.Uint64
	batches, payload, copies, missing, oversize, hbs atomic.Uint64
	resent, resendMissing, resentBytes               atomic.Uint64
	segmentation                                     atomic.Bool

	mu      sync.Mutex // guards what follows
	cause   error
	since   time.Time // when the last hold began
	problem error     // with opening a session
}

// setProblem notes why no session can be opened, and says whether that is
// news.
func (c *counters) setProblem(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	news := c.problem == nil || err == nil || c.problem.Error() != err.Error()
	c.problem = err
	return news
}

func (c *counters) setHolding(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil && c.cause == nil {
		c.since = time.Now()
	}
	c.cause = err
}

// wire is what heartbeats say of the counters.
func (c *counters) wire() frame.Counters {
	return frame.Counters{
		Frames: c.frames.Load(), WireBytes: c.wireBytes.Load(), Copies: c.copies.Load(),
		Missing: c.missing.Load(), Holds: c.holds.Load(), Oversize: c.oversize.Load(),
	}
}

// Stats returns the figures so far. Safe at any time.
func (s *Sender) Stats() Stats {
	c := &s.stats
	st := Stats{
		Session:       c.session.Load(),
		Holds:         c.holds.Load(),
		Segmentation:  c.segmentation.Load(),
		ShardBytes:    s.shard,
		Frames:        c.frames.Load(),
		WireBytes:     c.wireBytes.Load(),
		Blocks:        c.blocks.Load(),
		Batches:       c.batches.Load(),
		PayloadBytes:  c.payload.Load(),
		Copies:        c.copies.Load(),
		CopiesMissing: c.missing.Load(),
		Oversize:      c.oversize.Load(),
		Heartbeats:    c.hbs.Load(),
		Resend:        s.resendState(),
		Classes:       make(map[diode.Class]ClassStats, len(s.streams)),
	}
	for _, x := range s.streams {
		first, next, _ := x.source.Bounds()
		st.Classes[x.class] = ClassStats{Sent: x.told.Load(), Accepted: next - min(next, 1), First: first, Data: x.bulk.Data, Parity: x.bulk.Parity}
	}
	if now := uint64(max(time.Now().Unix(), 0)); st.Session > now {
		st.SessionAhead = time.Duration(min(st.Session-now, maxAhead)) * time.Second
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.problem != nil {
		st.SessionProblem = c.problem.Error()
	}
	if c.cause != nil {
		st.Holding, st.HoldingSince, st.HoldingCause = true, c.since, c.cause.Error()
	}
	return st
}
