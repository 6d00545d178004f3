package gateway

import (
	"context"
	"errors"
	"time"
)

// A plugin can answer health calls and move no data. That is certain, and not back-pressure, only when all of this holds
// at every look for stallLooks looks on end:
//
//	the core waits for the plugin to read what it was given   (relay: Waiting > 0)
//	the plugin reads nothing                                  (relay: BytesIn stands still)
//	it waits for no decision: the spool has made all          (intake: undecided = 0, so it has its whole credit)
//	it delivers nothing                                       (intake: taken stands still)
//
// A full spool leaves batches undecided, so it never looks like this. A receiver that answers its endpoints may wait for
// one that does not read, so it is not watched.
const (
	stallEvery = 5 * time.Second
	stallLooks = 12 // a minute: much longer than any pause of a plugin that is alive (ours)
)

var errStalled = errors.New("the plugin answers, but for a minute it has read nothing of what waits for it and delivered nothing")

// progress is what one look sees.
type progress struct {
	waiting   uint64 // writes that the plugin does not read
	bytesIn   uint64
	taken     uint64
	undecided int64
}

// stall counts looks that saw a plugin which should move data and does not.
type stall struct {
	last  progress
	still int
}

// look reports whether the plugin has stalled.
func (s *stall) look(now progress) bool {
	if now.waiting == 0 || now.undecided > 0 || now.bytesIn != s.last.bytesIn || now.taken != s.last.taken {
		s.still = 0
	} else {
		s.still++
	}
	s.last = now
	return s.still >= stallLooks
}

// watchStall returns errStalled when the plugin has stalled, and nil when ctx ends.
func watchStall(ctx context.Context, see func() progress) error {
	tick := time.NewTicker(stallEvery)
	defer tick.Stop()
	s := stall{last: see()}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if s.look(see()) {
			return errStalled
		}
	}
}

// progress of one start of the receiver.
func (r *receiver) progress(in *intake) progress {
	st := r.relay.Stats()
	return progress{waiting: st.Waiting, bytesIn: st.BytesIn, taken: in.taken.Load(), undecided: in.undecided.Load()}
}
