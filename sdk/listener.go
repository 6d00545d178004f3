package sdk

import (
	"net"
	"net/netip"
	"os"
	"sync"

	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// listener is a net.Listener of connections that the core has accepted.
type listener struct {
	in   chan net.Conn
	done chan struct{}
	once sync.Once
}

func newListener() *listener {
	return &listener{in: make(chan net.Conn, acceptBacklog), done: make(chan struct{})}
}

// offer queues a connection. When the plugin does not accept, it blocks the control socket: the core then sees that
// the plugin is busy, refuses connections and counts them.
func (l *listener) offer(c *proto.Connection, f *os.File) {
	if f == nil {
		return
	}
	if l == nil {
		_ = f.Close()
		return
	}
	u, err := control.Stream(f)
	if err != nil {
		return // at the limit of open files: the descriptor is closed, the core sees it and counts
	}
	remote, _ := netip.ParseAddrPort(c.GetRemote())
	local, _ := netip.ParseAddrPort(c.GetLocal())
	select {
	case l.in <- &conn{UnixConn: u, from: Connection{Remote: remote, Interface: c.GetInterface()}, local: local}:
	case <-l.done:
		_ = u.Close()
		return
	}
	select {
	case <-l.done:
		l.discard() // closed meanwhile
	default:
	}
}

// Accept returns net.ErrClosed after Close or when the core has gone.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.in:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) end() {
	if l != nil {
		l.once.Do(func() { close(l.done) })
		l.discard()
	}
}

// discard closes the connections that nobody will accept.
func (l *listener) discard() {
	for {
		select {
		case c := <-l.in:
			_ = c.Close()
		default:
			return
		}
	}
}

// Close stops Accept; connections accepted before live on. Those not yet accepted are closed.
func (l *listener) Close() error {
	l.end()
	return nil
}

// Addr has no meaning: the core listens on every service interface.
func (l *listener) Addr() net.Addr { return &net.TCPAddr{} }

// conn is a stream that the core relays; its addresses are those of the real socket.
type conn struct {
	*net.UnixConn
	from  Connection
	local netip.AddrPort
}

func (c *conn) Connection() Connection { return c.from }
func (c *conn) RemoteAddr() net.Addr   { return net.TCPAddrFromAddrPort(c.from.Remote) }
func (c *conn) LocalAddr() net.Addr    { return net.TCPAddrFromAddrPort(c.local) }
