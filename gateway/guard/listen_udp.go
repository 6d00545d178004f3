package guard

import (
	"context"
	"errors"
	"net"
	"syscall"
)

// PacketSocket is one UDP socket on one interface. The kernel delivers with
// each datagram, as control messages, the count of datagrams it dropped so far
// for want of buffer (SO_RXQ_OVFL), the interface (IP_PKTINFO or
// IPV6_PKTINFO) and the time of receipt (SO_TIMESTAMPNS).
type PacketSocket struct {
	Conn          *net.UDPConn
	Interface     string
	Index         int
	ReceiveBuffer int // bytes granted, in the unit that was asked for

	g *Guard
}

// Wait returns at once while the state of the interfaces is known, and blocks
// while it is not. Call it before each read: what arrives meanwhile stays in
// the kernel's buffer. It returns the error of ctx when that ends first. A
// PacketSocket that no guard opened, as tests make them, never blocks.
func (s *PacketSocket) Wait(ctx context.Context) error {
	if s.g == nil {
		return ctx.Err()
	}
	return s.g.wait(ctx)
}

// ListenUDP opens one datagram socket per service interface and family on
// port, until ctx ends or Close is called, and asks for a receive buffer of
// rcvbuf bytes each (0: the system's default). onSocket is called on a
// goroutine of its own and reads until its ctx ends, which is when the
// interface is gone or may not be received on any more; the guard closes
// s.Conn then. When onSocket returns earlier the socket is closed and opened
// anew. Errors are as for ListenTCP.
func (g *Guard) ListenUDP(ctx context.Context, port uint16, rcvbuf int, onSocket func(ctx context.Context, s *PacketSocket)) (*Listeners, error) {
	l, err := g.newListeners(ctx, "udp", port)
	if err != nil {
		return nil, err
	}
	l.start = func(s slot) (listening, error) { return startUDP(l, s, rcvbuf, onSocket) }
	return l.begin()
}

// udpSocket is one open datagram socket.
type udpSocket struct {
	l    *Listeners
	slot slot
	conn *net.UDPConn
	ctx  context.Context // ends with shut
	stop context.CancelFunc
}

var errHandlerReturned = errors.New("its reader ended")

func startUDP(l *Listeners, s slot, rcvbuf int, onSocket func(context.Context, *PacketSocket)) (listening, error) {
	conn, granted, err := l.g.packetConn(l.ctx, family("udp", s), s, rcvbuf)
	if err != nil {
		return nil, err
	}
	u := &udpSocket{l: l, slot: s, conn: conn}
	u.ctx, u.stop = context.WithCancel(l.ctx)
	l.wg.Go(func() {
		onSocket(u.ctx, &PacketSocket{conn, s.id.name, s.index, granted, l.g})
		if u.ctx.Err() == nil {
			u.shut()
			l.gaveUp(s, u, errHandlerReturned)
		}
	})
	return u, nil
}

// packetConn opens an unconnected datagram socket on one interface.
func (g *Guard) packetConn(ctx context.Context, network string, s slot, rcvbuf int) (*net.UDPConn, int, error) {
	granted := 0
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if err := g.barrier.tie(raw, s.index, s.id.name); err != nil {
			return err
		}
		if granted, err = growReceiveBuffer(raw, rcvbuf); err != nil {
			return err
		}
		return datagramOptions(raw, s.local.Addr().Is6())
	}}
	pc, err := lc.ListenPacket(ctx, network, s.local.String())
	if err != nil {
		return nil, 0, err
	}
	conn := pc.(*net.UDPConn)
	if granted < rcvbuf && g.opener != nil {
		granted = g.forceBuffer(ctx, conn, rcvbuf, granted)
	}
	return conn, granted, nil
}

// forceBuffer asks the privileged half for a larger receive buffer, and
// returns what the socket has then.
func (g *Guard) forceBuffer(ctx context.Context, conn *net.UDPConn, bytes, granted int) int {
	if err := g.opener.ForceBuffer(ctx, conn, bytes); err != nil {
		g.log.Warn("guard: the receive buffer stays smaller than asked for", "asked_bytes", bytes, "granted_bytes", granted, "error", err)
		return granted
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return granted
	}
	if now, err := growReceiveBuffer(raw, 0); err == nil {
		return now
	}
	return granted
}

func (u *udpSocket) stat() SocketStat { return u.l.describe(u.slot) }

func (u *udpSocket) shut() {
	u.stop()
	_ = u.conn.Close()
}
