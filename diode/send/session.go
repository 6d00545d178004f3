package send

import (
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// session is what one traffic key seals.
type session struct {
	id      uint64
	sealer  *frame.Sealer
	counter uint64 // of the next frame
	opened  time.Time
	hello   []byte // the announcement datagram
}

// openSession draws a secret, takes a session number above every one used
// before, writes it to disk and only then makes the key.
func openSession(c Config, file *floor.File) (*session, error) {
	mark, err := file.Load()
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	now := time.Now()
	id := max(mark.Session+1, uint64(max(now.Unix(), 0)))
	if err := file.Store(floor.Mark{Session: id}); err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	enc, secret, err := frame.Encapsulate(c.Public)
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	a := frame.Announcement{LinkID: c.LinkID, KeyID: c.KeyID, Session: id, Suite: frame.SuiteHybrid, Encapsulation: enc}
	traffic, err := frame.DeriveTraffic(c.PSK, secret, a.Suite, c.LinkID, c.KeyID, id)
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	sealer, err := frame.NewSealer(traffic)
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	key, err := frame.AnnounceKey(c.PSK)
	if err != nil {
		return nil, fmt.Errorf("send: link %q: %w", c.Link, err)
	}
	return &session{id: id, sealer: sealer, opened: now, hello: a.Append(nil, key)}, nil
}

// spent says that the session must be followed by another.
func (x *session) spent(now time.Time, l limits) bool {
	return x.counter >= l.frames || now.Sub(x.opened) >= l.age
}

// limits of a session; tests make them small.
type limits struct {
	frames uint64
	age    time.Duration
}

// defaultLimits: a session ends a little before frame.MaxFrames, so that the
// blocks open at that moment still fit, and after a day (design).
func defaultLimits() limits {
	return limits{frames: frame.MaxFrames - 1<<20, age: 24 * time.Hour}
}
