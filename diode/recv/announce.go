package recv

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxSessions  = 2                      // the one in use and the one before or after it (design)
	acceptEvery  = 100 * time.Millisecond // no sender opens sessions faster
	checkEvery   = 100 * time.Millisecond // of announcements below the floor: only for the alarm
	windowStored = time.Second            // how often the window's top goes to disk (design)
	refusedFor   = time.Minute            // how long a refused session can be accepted by an operator
)

// announcement decides on the datagram b, cheapest checks first: floor, equal to
// one held, HMAC, rate, and only then the decapsulation.
func (p *path) announcement(h *frame.Header, b []byte) {
	ring := p.keyring(h.KeyID)
	if ring == nil {
		p.frames.UnknownKey++
		return
	}
	if h.Session < ring.mark.Session {
		p.belowFloor(ring, h, b)
		return
	}
	held := p.session(h.KeyID, h.Session)
	if held != nil && bytes.Equal(held.hello, b) {
		p.frames.Announcements++
		return
	}
	if !p.checks.take(p.now) {
		p.frames.RateLimited++
		return
	}
	if !frame.CheckAnnouncement(b, ring.announce) {
		p.frames.BadAnnouncement++
		return
	}
	if held != nil {
		if p.frames.SessionConflicts == 0 { // they go on several times a second
			p.log.Error("two senders use one session number; give each its own pairing", "session", h.Session)
		}
		p.frames.SessionConflicts++
		return
	}
	if p.now.Sub(p.accepted) < acceptEvery {
		p.frames.RateLimited++
		return
	}
	p.accepted = p.now
	if err := p.accept(ring, b); err != nil {
		p.frames.BadAnnouncement++
		p.log.Error("session not accepted", "session", h.Session, "err", err)
	}
}

// refused is the newest authentic session below the floor.
type refused struct {
	key     *keyring
	session uint64
	at      time.Time
}

// belowFloor raises the alarm when an authentic sender has gone back; anybody
// can send junk, so only a few are looked at.
func (p *path) belowFloor(ring *keyring, h *frame.Header, b []byte) {
	p.frames.BelowFloor++
	if p.now.Sub(p.checked) < checkEvery {
		return
	}
	p.checked = p.now
	if p.session(h.KeyID, h.Session) != nil || !frame.CheckAnnouncement(b, ring.announce) {
		return
	}
	if p.frames.SenderWentBack == 0 {
		p.log.Error("an authentic session below the floor: the sender's state went back, or an old recording is replayed",
			"session", h.Session, "floor", ring.mark.Session, "remedy", "sluice diode accept-sender, or a new pairing")
	}
	p.frames.SenderWentBack++
	old := p.refused
	if old.key != ring || h.Session >= old.session || p.now.Sub(old.at) > refusedFor {
		p.refused = refused{key: ring, session: h.Session, at: p.now}
	}
}

// accept derives the session's key and holds it.
func (p *path) accept(ring *keyring, b []byte) error {
	opener, id, err := openAnnounced(ring, b)
	if err != nil {
		return err
	}
	p.hold(ring, id, opener, b)
	return nil
}

func openAnnounced(ring *keyring, b []byte) (*frame.Opener, uint64, error) {
	a, err := frame.ParseAnnouncement(b)
	if err != nil {
		return nil, 0, err
	}
	secret, err := frame.Decapsulate(ring.Private, a.Encapsulation)
	if err != nil {
		return nil, 0, err
	}
	traffic, err := frame.DeriveTraffic(ring.PSK, secret, a.Suite, a.LinkID, a.KeyID, a.Session)
	if err != nil {
		return nil, 0, err
	}
	opener, err := frame.NewOpener(traffic)
	return opener, a.Session, err
}

func (p *path) hold(ring *keyring, id uint64, opener *frame.Opener, b []byte) {
	x := &session{id: id, key: ring, opener: opener, hello: bytes.Clone(b)}
	if id == ring.mark.Session {
		x.window.Restore(ring.mark.Counter)
	}
	p.makeRoom()
	p.sessions = append(p.sessions, x)
	p.frames.Sessions++
	p.frames.Announcements++
	p.log.Info("session accepted", "session", x.id, "key", ring.ID, "from_counter", x.window.Top())
}

// ErrNoneRefused is wrapped by AcceptSender's answer when there is nothing to
// accept.
var ErrNoneRefused = errors.New("no authentic session was refused in the last minute")

// Acceptance says what AcceptSender did.
type Acceptance struct {
	Key     uint32
	Floor   uint64 // the floor before
	Session uint64 // the session that may come in now, and every later one
}

// AcceptSender lowers the floor of a key on the link to just below the newest
// authentic session that was refused, so that a sender whose state went back can
// come in. Recordings of the sessions from there on can come in, too. It answers
// ErrNoneRefused when none was seen in the last minute.
func (r *Receiver) AcceptSender(link string) (Acceptance, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, err := r.path(link)
	if err != nil {
		return Acceptance{}, err
	}
	ref := p.refused
	if ref.key == nil || time.Since(ref.at) > refusedFor {
		return Acceptance{}, fmt.Errorf("recv: link %q: %w", link, ErrNoneRefused)
	}
	a := Acceptance{Key: ref.key.ID, Floor: ref.key.mark.Session, Session: ref.session}
	mark := floor.Mark{Session: ref.session - 1}
	if err := p.keeper.store(ref.key.file, mark); err != nil {
		return Acceptance{}, fmt.Errorf("recv: link %q: floor not stored: %w", link, err)
	}
	ref.key.mark = mark
	p.refused = refused{}
	p.forget(ref.key, ref.session)
	p.log.Warn("floor lowered by an operator", "key", a.Key, "from", a.Floor, "session", a.Session)
	return a, nil
}

// forget gives up the sessions of a key that are later than the one that an
// operator accepted: while they are held it would count as overtaken.
func (p *path) forget(key *keyring, newest uint64) {
	p.sessions = slices.DeleteFunc(p.sessions, func(x *session) bool {
		if x.key != key || x.id <= newest {
			return false
		}
		x.close()
		if p.active == x {
			p.active = nil
		}
		return true
	})
}

// budget bounds how much work an unauthenticated flood can cause.
type budget struct {
	since time.Time
	left  int
}

const (
	budgetEvery = 10 * time.Millisecond
	// budgetChecks HMACs per budgetEvery are 10,000 a second: at about 3
	// microseconds each a thirtieth of a core whatever comes, and of a flood of
	// 50,000 forged ones a second a fifth: a genuine one comes ten times a second.
	budgetChecks = 100
)

func (b *budget) take(now time.Time) bool {
	if now.Sub(b.since) >= budgetEvery {
		b.since, b.left = now, budgetChecks
	}
	if b.left == 0 {
		return false
	}
	b.left--
	return true
}
