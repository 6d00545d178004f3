package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// DialTCP connects to addr through a service interface. The route is looked up
// first: an address that would be reached by a monitoring, diode or closed
// interface is refused with *RefusedError. The socket stays bound to the
// interface, and is reset when that stops being a service interface.
func (g *Guard) DialTCP(ctx context.Context, addr netip.AddrPort) (*net.TCPConn, error) {
	c, err := g.dial(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// DialUDP opens a socket connected to addr, under the conditions of DialTCP.
func (g *Guard) DialUDP(ctx context.Context, addr netip.AddrPort) (*net.UDPConn, error) {
	c, err := g.dial(ctx, "udp", addr)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

func (g *Guard) dial(ctx context.Context, network string, addr netip.AddrPort) (net.Conn, error) {
	addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !addr.IsValid() || addr.Addr().IsUnspecified() || addr.Port() == 0 {
		return nil, fmt.Errorf("guard: dial %s %s: want an address and a port", network, addr)
	}
	v, err := g.wayOut(addr.Addr())
	if err != nil {
		return nil, err
	}
	return g.open(ctx, v, forService, network, nil, addr)
}

// wayOut returns the service interface that a packet to dst leaves by.
func (g *Guard) wayOut(dst netip.Addr) (verdict, error) {
	verdicts, err := g.opening()
	if err != nil {
		return verdict{}, err
	}
	index, err := g.kernel.Route(dst)
	if err != nil {
		return verdict{}, err
	}
	v, ok := find(verdicts, index)
	if !ok {
		return verdict{}, &RefusedError{
			fmt.Sprintf("interface %d", index), Closed, "it appeared just now",
			"try again; when it persists see sluice status",
		}
	}
	if !v.allows(forService) {
		return verdict{}, &RefusedError{v.Name, v.Role, v.Reason, remedy(v, dst)}
	}
	return v, nil
}

func remedy(v verdict, dst netip.Addr) string {
	if v.Role == Closed {
		return fmt.Sprintf("the route to %s leaves by it: name it in service_interfaces, or route by a service interface", dst)
	}
	return fmt.Sprintf("the route to %s leaves by it: give this node a route to that address by a service interface", dst)
}

// open makes a connected socket on one interface and remembers it.
func (g *Guard) open(ctx context.Context, v verdict, u use, network string, local net.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: local, Control: func(_, _ string, raw syscall.RawConn) error {
		return g.barrier.tie(raw, v.Index, v.Name)
	}}
	d.SetMultipathTCP(false) // its subflows would leave by other interfaces
	c, err := d.DialContext(ctx, network, to.String())
	if err != nil {
		return nil, fmt.Errorf("guard: dial %s by interface %s: %w", network, v.Name, err)
	}
	if err := g.remember(v, u, c.(cuttable)); err != nil {
		return nil, err
	}
	return c, nil
}

// remember keeps a socket in view and closes it when its interface lost its
// role while it was opened.
func (g *Guard) remember(v verdict, u use, c cuttable) error {
	g.live.add(liveConn{v.Index, v.id, u, c})
	verdicts, err := g.current()
	if err != nil {
		cut(c)
		return err
	}
	if !allowed(verdicts, v.Index, v.id, u) {
		cut(c)
		return &RefusedError{v.Name, v.Role, "its role changed while the socket was opened", "try again"}
	}
	return nil
}
