package recv

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/diode"
	"github.com/sluice-gateway/sluice/diode/floor"
	"github.com/sluice-gateway/sluice/diode/frame"
)

// path is one link with its keys, sessions and figures. What it opens goes into
// series that all paths share.
type path struct {
	*Receiver
	index int
	cfg   Path
	log   *slog.Logger

	queued atomic.Int32 // chunks that wait for the loop, or are in its hands

	// Guarded by the receiver's mutex.
	keys      []*keyring
	sessions  []*session // in the order of their acceptance, at most maxSessions
	active    *session   // the one in use: the last that took over; nil: none yet
	frames    Frames
	refused   refused
	accepted  time.Time // when a session was last looked at for acceptance
	checked   time.Time // when an announcement below the floor was last checked
	checks    budget    // of HMACs
	refusedAt time.Time // when a floor could not be stored

	beat     frame.Heartbeat // the newest
	beatAt   time.Time       // when it came; zero: none yet
	offset   time.Duration
	silent   bool // the alarm was logged
	test     testRun
	dropBase uint32 // kernel's counter of drops when last seen
	conn     PacketReader
	dropped  uint64 // before conn
	granted  int    // bytes of receive buffer
}

func newPath(r *Receiver, index int, c Path) (*path, error) {
	p := &path{Receiver: r, index: index, cfg: c, log: r.cfg.Log.With("link", c.Link)}
	for _, k := range c.Keys {
		ring, err := openKeyring(c, k, r.cfg.Room)
		if err != nil {
			return nil, fmt.Errorf("recv: link %q: key %d: %w", c.Link, k.ID, err)
		}
		r.keeper.newest[ring.file] = ring.mark
		p.keys = append(p.keys, ring)
	}
	return p, nil
}

// keyring is one pairing with its floor.
type keyring struct {
	Key
	announce [32]byte
	file     *floor.File
	mark     floor.Mark // as on disk, or about to be
}

func openKeyring(c Path, k Key, room Room) (*keyring, error) {
	key, err := frame.AnnounceKey(k.PSK)
	if err != nil {
		return nil, err
	}
	var options []floor.Option
	if room != nil {
		options = append(options, floor.WithRoom(room))
	}
	file, err := floor.Open(c.StateDir, "recv", c.LinkID, k.ID, options...)
	if err != nil {
		return nil, err
	}
	mark, err := file.Load()
	if err != nil {
		return nil, err
	}
	return &keyring{Key: k, announce: key, file: file, mark: mark}, nil
}

func (p *path) keyring(id uint32) *keyring {
	for _, k := range p.keys {
		if k.ID == id {
			return k
		}
	}
	return nil
}

func (p *path) session(key uint32, id uint64) *session {
	for _, x := range p.sessions {
		if x.id == id && x.key.ID == key {
			return x
		}
	}
	return nil
}

// drops follows the kernel's counter, which is 32 bits and starts with the
// socket.
func (p *path) drops(n uint32) {
	p.frames.KernelDrops += uint64(n - p.dropBase)
	p.dropBase = n
}

// tick does what time asks for.
func (p *path) tick() {
	p.countDrops()
	if !p.silent && p.state(p.now) == StateSilent {
		p.silent = true
		p.log.Warn("link is silent: no heartbeat", "since", p.beatAt, "alarm_after", p.Receiver.cfg.AlarmAfter)
	}
}

func (p *path) state(now time.Time) State {
	switch {
	case p.beatAt.IsZero():
		return StateWaiting
	case now.Sub(p.beatAt) > p.Receiver.cfg.AlarmAfter:
		return StateSilent
	default:
		return StateUp
	}
}

// storeWindow hands the window's top to the keeper.
func (p *path) storeWindow() {
	x := p.active
	if x == nil || x.key.mark.Session != x.id || x.key.mark.Counter == x.window.Top() {
		return
	}
	x.key.mark.Counter = x.window.Top()
	p.keeper.later(x.key.file, x.key.mark)
}

// leave stores the window's top, so that nothing received can be replayed
// after a restart.
func (p *path) leave() {
	x := p.active
	if x == nil || x.key.mark.Session != x.id {
		return
	}
	x.key.mark.Counter = x.window.Top()
	if err := p.keeper.store(x.key.file, x.key.mark); err != nil {
		p.log.Warn("floor not stored", "err", err)
	}
}

// addStream makes the stream of a class of which an authentic frame came.
func (p *path) addStream(x *session, class uint8) (*stream, error) {
	if x.classes == len(x.streams) {
		return nil, errTooManyClasses
	}
	st := &stream{rx: p.Receiver, frames: &p.frames, session: x, class: class}
	st.parser = parser{buffers: &p.buffers, digester: p.digester, counts: &p.stats}
	st.emit = func(a arrival) { p.arrived(x, diode.Class(class), a) }
	x.streams[x.classes] = st
	x.classes++
	return st, nil
}
