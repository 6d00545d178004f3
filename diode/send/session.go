package send

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// session is what one traffic key seals.
type session struct {
	id      uint64
	sealer  *frame.Sealer
	counter uint64    // of the next frame
	from    time.Time // when it was first used
	hello   []byte    // the announcement datagram
}

// storeAgain is how long the sender waits before it tries again to store a
// session number.
const storeAgain = time.Second

// opener opens sessions beside the loop: that takes a write to disk.
type opener struct {
	ask  chan struct{} // capacity 1
	made chan *session // capacity 1
}

func newOpener() opener {
	return opener{ask: make(chan struct{}, 1), made: make(chan *session, 1)}
}

// openSessions opens one session each time that one is asked for. What keeps
// the number from the disk, be it a full one, is tried again until it works.
func (s *Sender) openSessions(ctx context.Context) error {
	for {
		select {
		case <-s.keys.ask:
		case <-ctx.Done():
			return nil
		}
		x, err := s.openStubbornly(ctx)
		if err != nil || x == nil {
			return err
		}
		s.keys.made <- x // never blocks: one is asked for at a time
		s.wakeUp()
	}
}

// openStubbornly returns nil, nil when ctx ends.
func (s *Sender) openStubbornly(ctx context.Context) (*session, error) {
	for {
		x, err := openSession(s.cfg, s.file)
		if err == nil {
			s.stats.setProblem(nil)
			return x, nil
		}
		if !errors.Is(err, errStore) {
			return nil, err
		}
		if s.stats.setProblem(err) {
			s.log.Error("no session can be opened, trying again every second: make room in the state directory", "err", err)
		}
		select {
		case <-time.After(storeAgain):
		case <-ctx.Done():
			return nil, nil
		}
	}
}

// errStore marks errors that may pass.
var errStore = errors.New("session floor cannot be stored")

// openSession draws a secret, takes a session number above every one used
// before, writes it to disk and only then makes the key.
func openSession(c Config, file *floor.File) (*session, error) {
	fail := func(err error) (*session, error) { return nil, fmt.Errorf("send: link %q: %w", c.Link, err) }
	id, err := takeNumber(c.Room, file)
	if err != nil {
		return fail(err)
	}
	enc, secret, err := frame.Encapsulate(c.Public)
	if err != nil {
		return fail(err)
	}
	a := frame.Announcement{LinkID: c.LinkID, KeyID: c.KeyID, Session: id, Suite: frame.SuiteHybrid, Encapsulation: enc}
	traffic, err := frame.DeriveTraffic(c.PSK, secret, a.Suite, c.LinkID, c.KeyID, id)
	if err != nil {
		return fail(err)
	}
	sealer, err := frame.NewSealer(traffic)
	if err != nil {
		return fail(err)
	}
	key, err := frame.AnnounceKey(c.PSK)
	if err != nil {
		return fail(err)
	}
	return &session{id: id, sealer: sealer, hello: a.Append(nil, key)}, nil
}

// takeNumber takes the next session number: above every one stored, and at
// least the seconds since 1970, so that a lost state directory does no harm. A
// clock that was wrong for a while leaves the numbers ahead of it: they go on
// from there (Stats.SessionAhead).
func takeNumber(room Room, file *floor.File) (uint64, error) {
	mark, err := file.Load()
	if errors.Is(err, floor.ErrDamaged) {
		return 0, err
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errStore, err)
	}
	id := max(mark.Session+1, uint64(max(time.Now().Unix(), 0)))
	store := func() error { return file.Store(floor.Mark{Session: id}) }
	if room == nil {
		err = store()
	} else {
		err = room.Do(store)
	}
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errStore, err)
	}
	return id, nil
}

// limits of a session; tests make them small.
type limits struct {
	frames uint64        // after which another session is opened
	last   uint64        // counters from here on are never sealed
	age    time.Duration // after which another session is opened
}

// defaultLimits: another session is opened long before frame.MaxFrames, so
// that a disk that is full for a while does no harm, and every day (design).
func defaultLimits() limits {
	return limits{frames: frame.MaxFrames - 1<<27, last: frame.MaxFrames, age: 24 * time.Hour}
}
