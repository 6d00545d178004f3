package guard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
)

// Values of SocketStat.State.
const (
	SocketListening = "listening"
	SocketHeld      = "held"   // open, but the state of the interfaces is unknown: nothing is accepted
	SocketFailed    = "failed" // should be open and is not; tried again every second while Run is active
)

// SocketStat describes one socket of a Listeners, for status.
type SocketStat struct {
	Interface string
	Local     string // address and port
	State     string
	Barrier   string // what ties it to the interface
	Accepted  uint64 // connections handed over; 0 for datagram sockets
	Error     string // why it failed, or the last trouble while accepting
}

// Listeners is one port, open on every service interface, and kept so as the
// interfaces come and go.
type Listeners struct {
	g       *Guard
	network string // tcp or udp
	port    uint16
	ctx     context.Context // ends with Close; parent of everything handed out
	stop    context.CancelFunc
	start   func(slot) (listening, error)
	wg      sync.WaitGroup // sockets and the handlers they called

	mu     sync.Mutex // guards what follows
	open   map[slot]listening
	failed map[slot]error
	closed bool
}

// listening is one open socket.
type listening interface {
	stat() SocketStat
	// shut closes the socket and makes its goroutine end, without waiting.
	shut()
}

// slot is one socket that should exist. Two slots are equal only when the
// interface is the same one, not merely of the same index or name.
type slot struct {
	index int
	id    identity
	local netip.AddrPort // unspecified address unless the barrier is byAddress
}

func (g *Guard) newListeners(ctx context.Context, network string, port uint16) (*Listeners, error) {
	if port == 0 {
		return nil, fmt.Errorf("guard: listen on %s port 0: endpoints must be told a port, name one", network)
	}
	l := &Listeners{
		g: g, network: network, port: port,
		open: map[slot]listening{}, failed: map[slot]error{},
	}
	l.ctx, l.stop = context.WithCancel(ctx)
	return l, nil
}

// begin opens the first sockets and lets the guard keep them up to date.
func (l *Listeners) begin() (*Listeners, error) {
	g := l.g
	if g.decideOnly {
		return nil, errors.Join(errDecides, l.Close())
	}
	g.apply.Lock()
	g.listeners[l] = struct{}{}
	verdicts, err := g.current()
	if err != nil {
		g.log.Warn("guard: listening waits", "network", l.network, "port", l.port, "cause", err)
		err = nil // opened once the state is known
	} else {
		l.reconcile(verdicts, true)
		err = l.hopeless()
	}
	g.apply.Unlock()
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	l.wg.Go(func() {
		<-l.ctx.Done()
		l.release()
	})
	return l, nil
}

// hopeless returns the reasons when there are interfaces to listen on and no
// socket could be opened.
func (l *Listeners) hopeless() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.open) == 0 && len(l.failed) == 0 {
		l.g.log.Warn("guard: no service interface to listen on", "network", l.network, "port", l.port)
	}
	var refused []error
	for _, err := range l.failed {
		if errors.Is(err, errHandlerReturned) {
			return nil // it was opened, and ended already
		}
		refused = append(refused, err)
	}
	if len(l.open) > 0 {
		return nil
	}
	return errors.Join(refused...)
}

// Close stops listening and waits for every handler to return. Connections
// whose handler is still running are closed, which is how such a handler
// learns of it; those that a handler passed on stay open. It may be called
// more than once. Ending the context given to ListenTCP or ListenUDP does the
// same without waiting.
func (l *Listeners) Close() error {
	l.stop()
	l.g.apply.Lock()
	delete(l.g.listeners, l)
	l.g.apply.Unlock()
	l.release()
	l.wg.Wait()
	return nil
}

// Stats returns one entry per socket, ordered by interface and address.
func (l *Listeners) Stats() []SocketStat {
	_, held := l.g.current()
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]SocketStat, 0, len(l.open)+len(l.failed))
	for _, s := range l.open {
		st := s.stat()
		st.State = SocketListening
		if held != nil {
			st.State = SocketHeld
		}
		out = append(out, st)
	}
	for s, err := range l.failed {
		st := l.describe(s)
		st.State, st.Error = SocketFailed, err.Error()
		out = append(out, st)
	}
	slices.SortFunc(out, func(a, b SocketStat) int {
		return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Local, b.Local))
	})
	return out
}

func (l *Listeners) describe(s slot) SocketStat {
	return SocketStat{Interface: s.id.name, Local: s.local.String(), Barrier: l.g.barrier.String()}
}

// reconcile closes what must not be open any more and, if it may, opens what
// is missing. The caller holds g.apply.
func (l *Listeners) reconcile(verdicts []verdict, mayOpen bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return
	}
	wanted := l.slots(verdicts)
	for s, open := range l.open {
		if _, ok := wanted[s]; !ok {
			delete(l.open, s)
			open.shut()
			l.g.log.Info("guard: stopped listening", "network", l.network, "interface", s.id.name, "local", s.local.String())
		}
	}
	maps.DeleteFunc(l.failed, func(s slot, _ error) bool { _, ok := wanted[s]; return !ok })
	for s := range wanted {
		if _, ok := l.open[s]; !ok && mayOpen {
			l.tryOpen(s)
		}
	}
}

func (l *Listeners) tryOpen(s slot) {
	open, err := l.start(s)
	if err == nil {
		delete(l.failed, s)
		l.open[s] = open
		l.g.log.Info("guard: listening", "network", l.network, "interface", s.id.name,
			"local", s.local.String(), "barrier", l.g.barrier.String())
		return
	}
	err = fmt.Errorf("guard: listen on %s port %d of interface %s: %w", l.network, l.port, s.id.name, err)
	if old := l.failed[s]; old == nil || old.Error() != err.Error() {
		l.g.log.Warn("guard: cannot listen, trying again", "error", err)
	}
	l.failed[s] = err
	l.g.lookSooner()
}

// slots lists the sockets that should exist under these verdicts.
func (l *Listeners) slots(verdicts []verdict) map[slot]struct{} {
	out := map[slot]struct{}{}
	for _, v := range verdicts {
		if !v.allows(forService) {
			continue
		}
		for _, addr := range l.locals(v) {
			out[slot{v.Index, v.id, netip.AddrPortFrom(addr, l.port)}] = struct{}{}
		}
	}
	return out
}

// locals lists the addresses to bind to on one interface.
func (l *Listeners) locals(v verdict) []netip.Addr {
	if l.g.barrier != byAddress {
		if l.g.ipv6 {
			return []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()}
		}
		return []netip.Addr{netip.IPv4Unspecified()}
	}
	out := make([]netip.Addr, 0, len(v.Addresses))
	for _, p := range v.Addresses {
		addr := p.Addr()
		if addr.Is6() && addr.IsLinkLocalUnicast() {
			addr = addr.WithZone(v.Name)
		}
		out = append(out, addr)
	}
	return out
}

// wanting reports whether a socket that should be open is not.
func (l *Listeners) wanting() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failed) > 0
}

// gaveUp is called when a socket ended although nobody shut it.
func (l *Listeners) gaveUp(s slot, which listening, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open[s] == which {
		delete(l.open, s)
		l.failed[s] = err
		l.g.lookSooner()
	}
}

func (l *Listeners) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for s, open := range l.open {
		delete(l.open, s)
		open.shut()
	}
	clear(l.failed)
}

// lastError keeps the latest trouble of one socket for status.
type lastError struct {
	mu  sync.Mutex // guards err
	err error
}

func (e *lastError) set(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
}

func (e *lastError) text() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}
