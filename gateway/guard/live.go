package guard

import (
	"net"
	"slices"
	"sync"
	"syscall"
)

// sweepAt is the smallest number of remembered connections at which closed
// ones are looked for. Ours: small enough to cost nothing.
const sweepAt = 64

// liveSet remembers the connections that were handed out, so that they can be
// cut when their interface loses its role. Closed ones are dropped by sweep,
// so its size stays within twice the number of open ones.
type liveSet struct {
	mu      sync.Mutex // guards what follows
	conns   []liveConn
	sweepAt int
}

type liveConn struct {
	index int
	id    identity
	use   use
	conn  cuttable
}

// cuttable is a *net.TCPConn or *net.UDPConn.
type cuttable interface {
	syscall.Conn
	Close() error
}

func newLiveSet() *liveSet { return &liveSet{sweepAt: sweepAt} }

func (s *liveSet) add(c liveConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = append(s.conns, c)
	if len(s.conns) >= s.sweepAt {
		s.sweepLocked()
	}
}

// cutUnless resets every connection that keep does not want.
func (s *liveSet) cutUnless(keep func(liveConn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = slices.DeleteFunc(s.conns, func(c liveConn) bool {
		if keep(c) {
			return false
		}
		cut(c.conn)
		return true
	})
}

func (s *liveSet) sweep() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sweepLocked()
}

func (s *liveSet) sweepLocked() {
	s.conns = slices.DeleteFunc(s.conns, func(c liveConn) bool { return isClosed(c.conn) })
	s.sweepAt = max(sweepAt, 2*len(s.conns))
}

// cut ends a connection at once. A TCP connection is reset: an orderly end
// would tell the peer that everything was taken.
func cut(c cuttable) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // fails only on a closed connection
	}
	_ = c.Close()
}

func isClosed(c syscall.Conn) bool {
	raw, err := c.SyscallConn()
	return err != nil || raw.Control(func(uintptr) {}) != nil
}
