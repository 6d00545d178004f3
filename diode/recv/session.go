package recv

import (
	"errors"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/frame"
)

var errTooManyClasses = errors.New("recv: more classes than a link can have")

// session is a session that was accepted.
type session struct {
	id     uint64
	key    *keyring
	opener *frame.Opener
	window frame.Window
	hello  []byte // the announcement

	order   uint64    // of its first use among the sessions of all paths, from 1; 0: no frame of it was authentic yet
	usedAt  time.Time // when that was, on the live clock
	heardAt time.Time // when its newest frame came, on the live clock
	// superseded is when a later session was first used, on the live clock.
	superseded time.Time
	standing   map[*series]uint64 // what was delivered of each series when it was first used

	beaten bool   // a heartbeat of it came
	beatAt uint64 // counter of the newest one
	// next is the session that follows when the counter reaches switchAt. 0:
	// none is announced.
	next, switchAt uint64
	before         *session // the one that announced this and whose blocks come first; nil: none, or it is over

	streams [diode.MaxClasses]*stream
	classes int
}

// stream returns the stream of a class, or nil when there is none yet.
func (x *session) stream(class uint8) *stream {
	for _, st := range x.streams[:x.classes] {
		if st.class == class {
			return st
		}
	}
	return nil
}

// close gives up what is under way of all classes.
func (x *session) close() {
	x.before = nil
	for _, st := range x.streams[:x.classes] {
		st.close()
	}
}

// waits says whether the blocks of the session before come first. It ends that
// session's streams when its counter has reached the switch.
func (x *session) waits(now time.Time) bool {
	old := x.before
	if old == nil {
		return false
	}
	over := old.window.Top() >= old.switchAt && old.idle()
	if !over && x.window.Top() <= reorder && now.Sub(x.usedAt) < quietWait {
		return true
	}
	x.before = nil
	old.close()
	return false
}

// idle says that no block is under way.
func (x *session) idle() bool {
	for _, st := range x.streams[:x.classes] {
		if st.count > 0 {
			return false
		}
	}
	return true
}

// firstUse is called with the first authentic frame of a session.
func (p *path) firstUse(x *session) {
	p.uses++
	x.order, x.usedAt = p.uses, p.live
	x.standing = make(map[*series]uint64)
	for _, w := range p.rows {
		for _, s := range w.list {
			if s.contact {
				x.standing[s] = s.next - 1
			}
		}
	}
	if x != p.newest() {
		return
	}
	for _, old := range p.sessions {
		if old == x {
			continue
		}
		if old.superseded.IsZero() {
			old.superseded = p.live
		}
		if old.next == x.id && old.key == x.key {
			x.before = old
		}
	}
}
