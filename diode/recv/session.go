package recv

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxSessions  = 2                      // the one in use and the one before or after it (design)
	acceptEvery  = 100 * time.Millisecond // no sender opens sessions faster
	checkEvery   = 100 * time.Millisecond // of announcements below the floor: only for the alarm
	windowStored = time.Second            // how often the window's top goes to disk (design)
)

// keyring is one pairing with its floor.
type keyring struct {
	id       uint32
	psk      [32]byte
	announce [32]byte
	file     *floor.File
	mark     floor.Mark // as on disk, or about to be
}

func openKeyring(c Config, k Key) (*keyring, error) {
	key, err := frame.AnnounceKey(k.PSK)
	if err != nil {
		return nil, err
	}
	file, err := floor.Open(c.StateDir, "recv", c.LinkID, k.ID)
	if err != nil {
		return nil, err
	}
	mark, err := file.Load()
	if err != nil {
		return nil, err
	}
	return &keyring{id: k.ID, psk: k.PSK, announce: key, file: file, mark: mark}, nil
}

// session is a session that was accepted.
type session struct {
	id      uint64
	key     *keyring
	opener  *frame.Opener
	window  frame.Window
	origin  frame.Origin
	hello   [sha256.Size]byte // digest of the announcement
	used    bool              // a frame of it was authentic
	heardAt time.Time         // when its newest frame came, on the live clock
	// superseded is when a later session was first used, on the live clock.
	superseded time.Time
	streams    [diode.MaxClasses]*stream
	classes    int
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

func (r *Receiver) session(key uint32, id uint64) *session {
	for _, x := range r.sessions {
		if x.id == id && x.key.id == key {
			return x
		}
	}
	return nil
}

// newest is the session accepted last, or nil.
func (r *Receiver) newest() *session {
	if len(r.sessions) == 0 {
		return nil
	}
	return r.sessions[len(r.sessions)-1]
}

// announcement decides on the datagram b, cheapest checks first.
func (r *Receiver) announcement(h *frame.Header, b []byte, now time.Time) {
	ring := r.keyring(h.KeyID)
	if ring == nil {
		r.stats.UnknownKey++
		return
	}
	if h.Session < ring.mark.Session {
		r.belowFloor(ring, h, b, now)
		return
	}
	held := r.session(h.KeyID, h.Session)
	if held != nil && held.hello == sha256.Sum256(b) {
		r.stats.Announcements++
		return
	}
	if !frame.CheckAnnouncement(b, ring.announce) {
		r.stats.BadAnnouncement++
		return
	}
	if held != nil {
		r.stats.SessionConflicts++
		r.log.Error("two senders use one session number; give each its own pairing", "session", h.Session)
		return
	}
	if now.Sub(r.accepted) < acceptEvery {
		r.stats.RateLimited++
		return
	}
	r.accepted = now
	if err := r.accept(ring, b); err != nil {
		r.stats.BadAnnouncement++
		r.log.Error("session not accepted", "session", h.Session, "err", err)
	}
}

// belowFloor raises the alarm when an authentic sender has gone back; anybody
// can send junk, so only a few are looked at.
func (r *Receiver) belowFloor(ring *keyring, h *frame.Header, b []byte, now time.Time) {
	r.stats.BelowFloor++
	if now.Sub(r.checked) < checkEvery {
		return
	}
	r.checked = now
	if r.session(h.KeyID, h.Session) != nil || !frame.CheckAnnouncement(b, ring.announce) {
		return
	}
	if r.stats.SenderWentBack == 0 {
		r.log.Error("an authentic session below the floor: the sender's state went back, or an old recording is replayed",
			"session", h.Session, "floor", ring.mark.Session, "remedy", "sluice diode accept-sender, or a new pairing")
	}
	r.stats.SenderWentBack++
}

// accept derives the session's key and holds it, after the floor is on disk.
func (r *Receiver) accept(ring *keyring, b []byte) error {
	a, err := frame.ParseAnnouncement(b)
	if err != nil {
		return err
	}
	traffic, err := frame.DeriveTraffic(ring.psk, a.Secret, a.Suite, a.LinkID, a.KeyID, a.Session)
	if err != nil {
		return err
	}
	opener, err := frame.NewOpener(traffic)
	if err != nil {
		return err
	}
	x := &session{id: a.Session, key: ring, opener: opener, origin: a.Origin, hello: sha256.Sum256(b)}
	if a.Session == ring.mark.Session {
		x.window.Restore(ring.mark.Counter)
	}
	mark := floor.Mark{Session: a.Session, Counter: x.window.Top()}
	if err := r.keeper.store(ring.file, mark); err != nil {
		return fmt.Errorf("recv: floor not stored: %w", err)
	}
	ring.mark = mark
	if len(r.sessions) == maxSessions {
		r.sessions[0].close()
		r.sessions = append(r.sessions[:0], r.sessions[1:]...)
	}
	r.sessions = append(r.sessions, x)
	r.stats.Sessions++
	r.stats.Announcements++
	r.stats.Session = x.id
	r.log.Info("session accepted", "session", x.id, "key", ring.id, "from_counter", mark.Counter)
	return nil
}

func (x *session) close() {
	for _, st := range x.streams[:x.classes] {
		st.close()
	}
}

// addStream makes the stream of a class of which an authentic frame came.
func (r *Receiver) addStream(x *session, class uint8) (*stream, error) {
	if x.classes == len(x.streams) {
		return nil, errTooManyClasses
	}
	st := &stream{rx: r, class: class}
	st.parser = parser{buffers: &r.buffers, digester: r.digester, counts: &r.stats}
	st.emit = func(a arrival) { r.arrived(x, diode.Class(class), a) }
	x.streams[x.classes] = st
	x.classes++
	return st, nil
}

var errTooManyClasses = errors.New("recv: more classes than a link can have")

func (r *Receiver) keyring(id uint32) *keyring {
	for _, k := range r.keys {
		if k.id == id {
			return k
		}
	}
	return nil
}
