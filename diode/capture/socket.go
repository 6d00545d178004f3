package capture

import (
	"syscall"
	"time"
)

// Socket is a packet(7) socket of type SOCK_RAW, bound to one interface, with
// a filter that lets only the link's datagrams in: an *os.File in
// non-blocking mode. Whoever opened it may close it at any time, which ends
// the ring.
type Socket interface {
	syscall.Conn
	SetReadDeadline(t time.Time) error
	Close() error
}
