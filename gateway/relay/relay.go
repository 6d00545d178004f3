package relay

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/sdk/control"
)

// Limits. All are ours.
const (
	// defaultReceiveBuffer asks for what a burst of 50,000 datagrams of 1,400 bytes takes, kernel overhead not counted.
	defaultReceiveBuffer = 64 << 20
	// reservedFiles are descriptors kept free for spool, link, logs and plugins: connections are refused before.
	reservedFiles = 256
	// chunkBytes is what one read of a connection takes; larger ones gain nothing (measured).
	chunkBytes = 64 << 10
)

// ErrClosed is returned after Close.
var ErrClosed = errors.New("relay: closed")

// Sockets opens inet sockets. The gateway adapts the guard to it, so that nothing is opened which the guard has not
// allowed.
type Sockets interface {
	// ListenTCP listens until ctx ends or the result is closed. onConn owns the connection; it is called on a goroutine
	// of its own and may block.
	ListenTCP(ctx context.Context, port uint16, onConn func(c *net.TCPConn, iface string)) (io.Closer, error)
	// ListenUDP opens a socket per interface and asks for rcvbuf bytes of receive buffer. onSocket reads the socket
	// until its context ends.
	ListenUDP(ctx context.Context, port uint16, rcvbuf int, onSocket func(context.Context, *guard.PacketSocket)) (io.Closer, error)
	DialTCP(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error)
	// DialUDP returns a connected socket.
	DialUDP(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error)
}

// Grants is what a component's HCL block allows.
type Grants struct {
	Component      string           // "udp.kics-agents"
	Network        string           // what it may listen on: "tcp", "udp" or ""
	Port           uint16           // on which it may listen
	AllowFrom      []netip.Prefix   // who may connect or send; empty = everybody
	Connect        []netip.AddrPort // what it may dial, TCP or UDP
	MaxConnections int              // open at once, both directions; 0 = as many as there are descriptors
	ReceiveBuffer  int              // bytes per UDP socket; 0 = 64 MiB
}

// Relay owns the sockets of one component. Its methods may be called concurrently.
type Relay struct {
	grants  Grants
	sockets Sockets
	log     *slog.Logger
	maxFile int // descriptors from this number on are kept for others

	ctx  context.Context // the life of the sockets
	stop context.CancelFunc
	tcp  station // the plugin that takes connections
	udp  station // the plugin that takes datagrams

	counts  counters
	refused refusals
	buffers sync.Pool      // of *[chunkBytes]byte
	wg      sync.WaitGroup // what enter has admitted

	mu      sync.Mutex // guards what follows
	closed  bool
	tcpOpen io.Closer
	udpOpen io.Closer
}

// New makes a Relay. It opens nothing before a plugin asks for it.
func New(g Grants, s Sockets, log *slog.Logger) *Relay {
	if g.ReceiveBuffer == 0 {
		g.ReceiveBuffer = defaultReceiveBuffer
	}
	r := &Relay{grants: g, sockets: s, log: log.With("component", g.Component), maxFile: fileLimit()}
	r.ctx, r.stop = context.WithCancel(context.Background())
	r.tcp.init()
	r.udp.init()
	r.refused.log = r.log
	r.buffers.New = func() any { return new([chunkBytes]byte) }
	return r
}

// fileLimit is the descriptor from which on connections are refused (getrlimit(2); Go raises the soft limit to the hard
// one).
func fileLimit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil || l.Cur > math.MaxInt32 {
		return math.MaxInt32
	}
	limit := int(l.Cur)
	return max(limit-reservedFiles, limit/2)
}

// Close closes all sockets, ends every Serve and waits for all that runs. It may be called more than once.
func (r *Relay) Close() error {
	r.stop()
	r.mu.Lock()
	r.closed = true
	open := []io.Closer{r.tcpOpen, r.udpOpen}
	r.tcpOpen, r.udpOpen = nil, nil
	r.mu.Unlock()
	var errs []error
	for _, c := range open {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	r.wg.Wait()
	return errors.Join(errs...)
}

// enter makes Close wait until leave; it says no after Close.
func (r *Relay) enter() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	r.wg.Add(1)
	return true
}

func (r *Relay) leave() { r.wg.Done() }

// listen opens the component's sockets when that has not been done for an earlier instance of the plugin.
func (r *Relay) listen(network string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrClosed
	}
	var err error
	switch {
	case network == "tcp" && r.tcpOpen == nil:
		r.tcpOpen, err = r.sockets.ListenTCP(r.ctx, r.grants.Port, r.accept)
	case network == "udp" && r.udpOpen == nil:
		r.udpOpen, err = r.sockets.ListenUDP(r.ctx, r.grants.Port, r.grants.ReceiveBuffer, r.receive)
	}
	return err
}

// allowed tells whether a remote address may talk to the component.
func (r *Relay) allowed(remote netip.Addr) bool {
	if len(r.grants.AllowFrom) == 0 {
		return true
	}
	remote = remote.Unmap().WithZone("")
	for _, p := range r.grants.AllowFrom {
		if p.Contains(remote) {
			return true
		}
	}
	return false
}

// Pause gives a plugin nothing new: no connection, no datagram. What it has goes on; its datagram feeds end when it has
// read them. New connections and datagrams wait for the next instance. It is called before a plugin is drained.
func (r *Relay) Pause(ctl *control.Socket) {
	for _, s := range []*station{&r.tcp, &r.udp} {
		s.leave(ctl)
	}
}
