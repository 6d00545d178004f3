package fakekics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"
)

const (
	// datagramMost is the largest UDP payload in bytes (RFC 768, 16-bit length
	// with header).
	datagramMost = 65535
	// receiveBuffer is the kernel buffer in bytes. Ours: 64 MiB lose nothing at
	// the rates of our tests.
	receiveBuffer = 64 << 20
)

// Datagram is one datagram as it arrived. Time has nanoseconds.
type Datagram struct {
	Time   time.Time
	Source netip.AddrPort
	Data   []byte
}

// Receiver is an open port.
type Receiver struct {
	conn    *net.UDPConn
	dropped uint32
}

// Open opens the port. Until then the kernel refuses what is sent to it with
// an ICMP message, as it does for a stopped KICS service.
func Open(ctx context.Context, at netip.AddrPort) (*Receiver, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error { return prepare(raw) }}
	pc, err := lc.ListenPacket(ctx, "udp", at.String())
	if err != nil {
		return nil, fmt.Errorf("fakekics: %w", err)
	}
	return &Receiver{conn: pc.(*net.UDPConn)}, nil
}

// Addr returns the address and port that it listens on.
func (r *Receiver) Addr() netip.AddrPort {
	return r.conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// Receive hands every datagram to take until ctx ends, then closes the port
// and returns nil. Data is take's only during the call. An error of take ends
// it.
func (r *Receiver) Receive(ctx context.Context, take func(Datagram) error) error {
	stop := context.AfterFunc(ctx, func() { _ = r.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { _ = r.conn.Close() }()
	buf, oob := make([]byte, datagramMost), make([]byte, 256)
	for {
		n, m, _, from, err := r.conn.ReadMsgUDPAddrPort(buf, oob)
		if err != nil && ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("fakekics: %w", err)
		}
		r.dropped = max(r.dropped, droppedSoFar(oob[:m]))
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if err := take(Datagram{time.Now(), from, buf[:n]}); err != nil {
			return err
		}
	}
}

// Dropped returns how many datagrams the kernel dropped for want of buffer,
// after Receive has returned. A test that compares must find 0 here.
func (r *Receiver) Dropped() uint32 { return r.dropped }
