package gateway

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// guardSockets lets one component's relay, or one link, open sockets through the guard and nowhere else.
type guardSockets struct{ guard *guard.Guard }

type udpConn = *net.UDPConn

func (s guardSockets) ListenTCP(ctx context.Context, port uint16, onConn func(*net.TCPConn, string)) (io.Closer, error) {
	return s.guard.ListenTCP(ctx, port, onConn)
}

func (s guardSockets) ListenUDP(ctx context.Context, port uint16, rcvbuf int, onSocket func(context.Context, *guard.PacketSocket)) (io.Closer, error) {
	return s.guard.ListenUDP(ctx, port, rcvbuf, onSocket)
}

func (s guardSockets) DialTCP(ctx context.Context, a netip.AddrPort) (*net.TCPConn, error) {
	return s.guard.DialTCP(ctx, a)
}

func (s guardSockets) DialUDP(ctx context.Context, a netip.AddrPort) (*net.UDPConn, error) {
	return s.guard.DialUDP(ctx, a)
}

func (s guardSockets) DiodeSend(ctx context.Context, iface, source string, dest netip.AddrPort) (udpConn, error) {
	return s.guard.DiodeSend(ctx, iface, source, dest)
}

func (s guardSockets) DiodeReady(iface string, dest netip.AddrPort) error {
	return s.guard.DiodeReady(iface, dest)
}

func (s guardSockets) DiodeCapture(ctx context.Context, iface string, source netip.Addr, listen netip.AddrPort) (*os.File, error) {
	return s.guard.DiodeCapture(ctx, iface, source, listen)
}

func (s guardSockets) DiodeReceive(ctx context.Context, iface string, listen netip.AddrPort, rcvbuf int) (udpConn, error) {
	return s.guard.DiodeReceive(ctx, iface, listen, rcvbuf)
}
