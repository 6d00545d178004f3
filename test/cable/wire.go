package cable

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

// Wire is the cable between the two nodes: it forwards datagrams one way, and can be cut. Its methods are safe for
// concurrent use.
type Wire struct {
	in   *net.UDPConn
	out  *net.UDPConn
	cut  atomic.Bool
	lost atomic.Uint64 // datagrams that vanished while it was cut
}

// newWire opens a cable that ends at an address.
func newWire(ctx context.Context, to netip.AddrPort) (*Wire, error) {
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
	w := &Wire{in: in.(*net.UDPConn), out: out.(*net.UDPConn)}
	// As large as the kernel grants without privileges: bursts of the sender wait here while another process runs.
	_ = w.in.SetReadBuffer(1 << 20)
	_ = w.out.SetWriteBuffer(1 << 20)
	return w, nil
}

// address is where the cable begins.
func (w *Wire) address() string { return w.in.LocalAddr().String() }

// run forwards until ctx ends.
func (w *Wire) run(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() { _ = w.close() })
	defer stop()
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

func (w *Wire) close() error { return errors.Join(w.in.Close(), w.out.Close()) }

// Cut makes everything vanish from now on.
func (w *Wire) Cut() { w.cut.Store(true) }

// Mend lets everything through again.
func (w *Wire) Mend() { w.cut.Store(false) }

// Lost is how many datagrams have vanished.
func (w *Wire) Lost() uint64 { return w.lost.Load() }
