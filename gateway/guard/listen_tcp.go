package guard

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// acceptPause is how long accepting rests after the kernel refused a
// connection for want of descriptors or memory. Ours: long enough not to spin,
// short enough for a backlog of 4096 to survive.
const acceptPause = 50 * time.Millisecond

// ListenTCP listens on port of every service interface, IPv4 and IPv6, until
// ctx ends or Close is called. onConn is called on a goroutine of its own for
// each connection with the name of the interface it came in by, and owns c. It
// may return at once and leave c to somebody else. When the interface stops
// being a service interface the guard resets c, wherever it is then.
//
// It is an error when there are service interfaces and none could be listened
// on; a part that fails is shown by Stats and tried again.
func (g *Guard) ListenTCP(ctx context.Context, port uint16, onConn func(c *net.TCPConn, iface string)) (*Listeners, error) {
	l, err := g.newListeners(ctx, "tcp", port)
	if err != nil {
		return nil, err
	}
	l.start = func(s slot) (listening, error) { return startTCP(l, s, onConn) }
	return l.begin()
}

// tcpSocket is one listening TCP socket.
type tcpSocket struct {
	l        *Listeners
	slot     slot
	listener *net.TCPListener
	ctx      context.Context // ends with shut
	stop     context.CancelFunc
	accepted atomic.Uint64
	trouble  lastError

	mu    sync.Mutex // guards conns
	conns map[*net.TCPConn]struct{}
}

func startTCP(l *Listeners, s slot, onConn func(*net.TCPConn, string)) (listening, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return l.g.barrier.tie(raw, s.index, s.id.name)
	}}
	lc.SetMultipathTCP(false) // its subflows would come in by other interfaces
	ln, err := lc.Listen(l.ctx, family("tcp", s), s.local.String())
	if err != nil {
		return nil, err
	}
	t := &tcpSocket{l: l, slot: s, listener: ln.(*net.TCPListener), conns: map[*net.TCPConn]struct{}{}}
	t.ctx, t.stop = context.WithCancel(l.ctx)
	l.wg.Go(func() { t.accept(onConn) })
	return t, nil
}

// family keeps IPv4 and IPv6 apart: tcp6 and udp6 imply IPV6_V6ONLY.
func family(network string, s slot) string {
	if s.local.Addr().Is4() {
		return network + "4"
	}
	return network + "6"
}

func (t *tcpSocket) accept(onConn func(*net.TCPConn, string)) {
	for {
		c, err := t.listener.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			t.trouble.set(err)
			sleep(t.ctx, acceptPause)
			continue
		}
		if !t.admit(c) {
			cut(c)
			continue
		}
		t.accepted.Add(1)
		t.l.wg.Go(func() {
			defer t.leave(c)
			onConn(c, t.slot.id.name)
		})
	}
}

// admit holds a new connection while the state of the interfaces is unknown,
// and then reports whether its interface is still one to receive on.
func (t *tcpSocket) admit(c *net.TCPConn) bool {
	g := t.l.g
	if g.wait(t.ctx) != nil || !t.enter(c) {
		return false
	}
	// Remembered first, judged second: a verdict that changes in between
	// either is seen here or finds the connection among the remembered ones.
	g.live.add(liveConn{t.slot.index, t.slot.id, forService, c})
	verdicts, err := g.current()
	if err == nil && allowed(verdicts, t.slot.index, t.slot.id, forService) {
		return true
	}
	t.leave(c)
	return false
}

func (t *tcpSocket) enter(c *net.TCPConn) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		return false
	}
	t.conns[c] = struct{}{}
	return true
}

func (t *tcpSocket) leave(c *net.TCPConn) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.conns, c)
}

func (t *tcpSocket) stat() SocketStat {
	st := t.l.describe(t.slot)
	st.Accepted, st.Error = t.accepted.Load(), t.trouble.text()
	return st
}

// shut closes the socket and the connections whose handler is running.
func (t *tcpSocket) shut() {
	t.stop()
	_ = t.listener.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.conns {
		_ = c.Close()
	}
}
