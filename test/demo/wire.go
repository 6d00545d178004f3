package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
)

// maxDatagram is the largest UDP payload over IPv4 (RFC 768, RFC 791).
const maxDatagram = 65507

// wire is the cable between the two nodes: it forwards datagrams one way, and can be cut.
type wire struct {
	in   *net.UDPConn
	out  *net.UDPConn
	cut  atomic.Bool
	lost atomic.Uint64 // datagrams that vanished while it was cut
}

// newWire opens a cable that ends at an address.
func newWire(ctx context.Context, to netip.AddrPort) (*wire, error) {
	var lc net.ListenConfig
	in, err := lc.ListenPacket(ctx, "udp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	var d net.Dialer
	out, err := d.DialContext(ctx, "udp4", to.String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("wire: %w", err), in.Close())
	}
	w := &wire{in: in.(*net.UDPConn), out: out.(*net.UDPConn)}
	// As large as the kernel grants without privileges: bursts of the sender wait here while another process runs.
	_ = w.in.SetReadBuffer(1 << 20)
	_ = w.out.SetWriteBuffer(1 << 20)
	return w, nil
}

// address is where the cable begins.
func (w *wire) address() string { return w.in.LocalAddr().String() }

// run forwards until ctx ends.
func (w *wire) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = w.in.Close() })
	defer stop()
	defer w.out.Close() //nolint:errcheck // nothing is left to be done with it
	buf := make([]byte, maxDatagram)
	for {
		n, err := w.in.Read(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			continue
		case w.cut.Load():
			w.lost.Add(1)
		default:
			// The far node may not listen yet, and then the kernel says so here: a cable does not mind.
			_, _ = w.out.Write(buf[:n])
		}
	}
}
