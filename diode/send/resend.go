package send

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/diode"
)

const (
	maxResendRanges = 1 << 16 // that wait per class, 16 bytes each: as many gaps as the far side's ledger holds open
	trickle         = 8       // part of the resend rate that is left while live traffic fills the link
)

// ErrResend is wrapped by every refusal of Resend.
var ErrResend = errors.New("send: resend refused")

// ResendState says how resending goes, over all requests since the start.
type ResendState struct {
	Queued  uint64 // batches that wait
	Sent    uint64 // batches
	Missing uint64 // batches that were no longer retained
	Bytes   uint64 // of the batches sent
}

// Resend queues batches that were sent before to be sent again, because an
// operator asked for them. They leave behind live traffic, at Config.ResendBits
// at most, flagged, and do not move Source.Sent. Several calls add; what is
// queued already is not queued twice. Nothing is queued when a range is
// refused. Safe at any time.
func (s *Sender) Resend(class diode.Class, ranges []diode.Range) (ResendState, error) {
	i := slices.IndexFunc(s.streams, func(st *stream) bool { return st.class == class })
	if i < 0 {
		return ResendState{}, fmt.Errorf("%w: link %q has no class %d", ErrResend, s.cfg.Link, class)
	}
	st := s.streams[i]
	from, next, _ := st.source.Bounds()
	var kept []diode.Range
	var gone uint64
	for _, r := range ranges {
		if r.First == 0 || r.Last < r.First {
			return ResendState{}, fmt.Errorf("%w: range %d-%d", ErrResend, r.First, r.Last)
		}
		if r.Last >= next {
			return ResendState{}, fmt.Errorf("%w: class %d has batches up to %d, not %d", ErrResend, class, next-min(next, 1), r.Last)
		}
		if r.First < from {
			gone += min(r.Last, from-1) - r.First + 1
			r.First = from
		}
		if r.First <= r.Last {
			kept = append(kept, r)
		}
	}
	if err := st.asked.add(kept); err != nil {
		return ResendState{}, err
	}
	s.stats.resendMissing.Add(gone)
	s.wakeUp()
	return s.resendState(), nil
}

func (s *Sender) resendState() ResendState {
	state := ResendState{Sent: s.stats.resent.Load(), Missing: s.stats.resendMissing.Load(), Bytes: s.stats.resentBytes.Load()}
	for _, st := range s.streams {
		state.Queued += st.asked.queued()
	}
	return state
}

// resends are the batches of one class that an operator asked for.
type resends struct {
	rate float64 // bytes per second on the wire

	mu     sync.Mutex // guards ranges
	ranges []diode.Range

	// Owned by the loop.
	from    time.Time // when the next may begin on a line that has room
	trickle time.Time // when it may begin at the latest
}

func newResends(bits uint64) *resends { return &resends{rate: float64(bits) / 8} }

// add merges ranges into those that wait.
func (r *resends) add(ranges []diode.Range) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := diode.Merge(append(slices.Clone(r.ranges), ranges...))
	if len(all) > maxResendRanges {
		return fmt.Errorf("%w: %d ranges would wait; at most %d are possible, resend in parts", ErrResend, len(all), maxResendRanges)
	}
	r.ranges = all
	return nil
}

// putBack queues a batch again that was under way when the link failed.
func (r *resends) putBack(seq uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ranges = diode.Merge(append(r.ranges, diode.Range{First: seq, Last: seq}))
}

func (r *resends) queued() (n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.ranges {
		n += x.Last - x.First + 1
	}
	return n
}

// take returns the next batch that may begin now: at the resend rate, but only
// at a trickle while live traffic waits.
func (r *resends) take(now time.Time, live bool) (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ranges) == 0 || now.Before(r.at(live)) {
		return 0, false
	}
	seq := r.ranges[0].First
	r.ranges[0].First++
	if r.ranges[0].First > r.ranges[0].Last {
		r.ranges = r.ranges[1:]
	}
	return seq, true
}

func (r *resends) at(live bool) time.Time {
	if live {
		return r.trickle
	}
	return r.from
}

// pay notes what the batch that begins takes on the wire.
func (r *resends) pay(now time.Time, wire int) {
	cost := time.Duration(float64(wire) / r.rate * float64(time.Second))
	if r.from.Before(now) {
		r.from = now
	}
	r.from = r.from.Add(cost)
	r.trickle = now.Add(trickle * cost)
}

func (r *resends) deadline(d time.Time, live bool) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.ranges) == 0 {
		return d
	}
	return earlier(d, r.at(live))
}

// liveWaits says whether batches that have not been sent yet wait for the
// line.
func (s *Sender) liveWaits() bool {
	for _, st := range s.streams {
		if len(st.ready) > 0 || (st.cur.active && st.cur.kind == first) {
			return true
		}
	}
	return false
}
