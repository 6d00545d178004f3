package recv

import (
	"errors"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/floor"
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
	standing   map[*series]uint64       // what was delivered of each series when it was first used
	named      map[diode.Class][16]byte // the epochs that its newest heartbeat named

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
	over := old.switchAt > 0 && old.window.Top() >= old.switchAt && old.idle()
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

// firstUse is called with the first authentic frame of a session, before
// anything of it counts: from now on older sessions are refused, also after a
// restart. It returns false when that could not be written down.
func (p *path) firstUse(x *session) bool {
	if !p.raiseFloor(x) {
		return false
	}
	p.closeSilent()
	p.uses++
	x.order, x.usedAt = p.uses, p.live
	x.standing, x.named = make(map[*series]uint64), make(map[diode.Class][16]byte)
	for _, w := range p.rows {
		for _, s := range w.list {
			if s.contact || len(s.order) > 0 {
				x.standing[s] = s.newest()
			}
		}
	}
	if old := p.active; old == nil || old.key != x.key || old.id < x.id {
		p.takeOver(x)
	} else {
		x.superseded = p.live // overtaken: its successor is in use
	}
	return true
}

// closeSilent gives up what is under way of sessions of which nothing comes any
// more, so that all that came of them stands before what the next one says.
func (p *path) closeSilent() {
	for _, old := range p.sessions {
		if old.order > 0 && p.live.Sub(old.heardAt) >= quietWait {
			old.close()
		}
	}
}

// raiseFloor puts the floor of the session's key on disk.
func (p *path) raiseFloor(x *session) bool {
	if x.key.mark.Session >= x.id {
		return true
	}
	if p.now.Sub(p.refusedAt) < acceptEvery {
		return false
	}
	mark := floor.Mark{Session: x.id, Counter: x.window.Top()}
	if err := p.keeper.store(x.key.file, mark); err != nil {
		p.refusedAt = p.now
		p.log.Error("session not used: its floor cannot be stored", "session", x.id, "err", err)
		return false
	}
	x.key.mark = mark
	return true
}

// takeOver makes x the session in use.
func (p *path) takeOver(x *session) {
	p.active = x
	for _, old := range p.sessions {
		if old == x || old.order == 0 {
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

// makeRoom closes a session when there are too many: the one that another
// follows, or one that was never used, or the oldest.
func (p *path) makeRoom() {
	if len(p.sessions) < maxSessions {
		return
	}
	i := slices.IndexFunc(p.sessions, func(x *session) bool { return !x.superseded.IsZero() })
	if i < 0 {
		i = max(slices.IndexFunc(p.sessions, func(x *session) bool { return x.order == 0 }), 0)
	}
	p.sessions[i].close()
	p.sessions = slices.Delete(p.sessions, i, i+1)
}
