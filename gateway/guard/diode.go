package guard

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// DiodeSend opens the socket that a one-way link sends from: connected to
// dest, from source (an address, an address with port, or empty for the
// kernel's choice), on the interface that the rule iface of Policy.DiodeTX
// names. When that interface goes away or changes, the socket is closed and
// writing returns net.ErrClosed: call DiodeSend again. When the link is one of
// Policy.SendEnds, its neighbour entry is made first, and what would lose
// everything that is sent until a setting is changed, such as an MTU that is
// too small, is a *NotReadyError.
func (g *Guard) DiodeSend(ctx context.Context, iface, source string, dest netip.AddrPort) (*net.UDPConn, error) {
	v, err := g.diodeInterface(iface, forDiodeTX)
	if err != nil {
		return nil, err
	}
	if err := g.openable(iface, dest); err != nil {
		return nil, err
	}
	local, err := sourceAddr(source)
	if err != nil {
		return nil, err
	}
	if err := g.leavesBy(v, dest.Addr()); err != nil {
		return nil, err
	}
	var from net.Addr
	if local.IsValid() {
		from = net.UDPAddrFromAddrPort(local)
	}
	c, err := g.open(ctx, v, forDiodeTX, "udp", from, dest)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

// DiodeReceive opens the socket that a one-way link arrives at, on the
// interface that the rule iface of Policy.DiodeRX names, with a receive buffer
// of rcvbuf bytes or what the kernel grants (0: its default; read it back with
// SO_RCVBUF). The control messages are those of PacketSocket. It is closed
// like that of DiodeSend.
func (g *Guard) DiodeReceive(ctx context.Context, iface string, listen netip.AddrPort, rcvbuf int) (*net.UDPConn, error) {
	if !listen.IsValid() || listen.Port() == 0 {
		return nil, fmt.Errorf("guard: diode receive on %s: listen %s: want an address and a port", iface, listen)
	}
	v, err := g.diodeInterface(iface, forDiodeRX)
	if err != nil {
		return nil, err
	}
	if g.barrier == byAddress && listen.Addr().IsUnspecified() {
		return nil, &RefusedError{
			v.Name, v.Role, "this kernel cannot bind a socket to the interface, and any address would mean any interface",
			"let listen name the address of the interface",
		}
	}
	s := slot{v.Index, v.id, netip.AddrPortFrom(listen.Addr().Unmap(), listen.Port())}
	c, granted, err := g.packetConn(ctx, family("udp", s), s, rcvbuf)
	if err != nil {
		return nil, fmt.Errorf("guard: diode receive on interface %s: %w", v.Name, err)
	}
	if granted < rcvbuf {
		g.log.Warn("guard: the kernel granted a smaller receive buffer", "interface", v.Name,
			"asked_bytes", rcvbuf, "granted_bytes", granted, "remedy", "raise net.core.rmem_max")
	}
	if err := g.remember(v, forDiodeRX, c); err != nil {
		return nil, err
	}
	return c, nil
}

// diodeInterface finds the interface that a rule names and that carries a
// link in the wanted direction.
func (g *Guard) diodeInterface(rule string, u use) (verdict, error) {
	verdicts, err := g.opening()
	if err != nil {
		return verdict{}, err
	}
	return pick(verdicts, rule, u)
}

// pick is diodeInterface under given verdicts.
func pick(verdicts []verdict, rule string, u use) (verdict, error) {
	found := match(rule, linksOf(verdicts))
	if len(found) != 1 {
		return verdict{}, &RefusedError{
			rule, Closed, fmt.Sprintf("it matches %d interfaces", len(found)),
			"plug it in, or correct the diode's interface; sluice status lists what exists",
		}
	}
	v, _ := find(verdicts, found[0].index)
	if !v.allows(u) {
		return verdict{}, &RefusedError{v.Name, v.Role, v.Reason, "name it as the interface of the diode"}
	}
	return v, nil
}

// leavesBy guards the degraded barrier: without a binding to the interface the
// route decides, so it must be the right one.
func (g *Guard) leavesBy(v verdict, dst netip.Addr) error {
	if g.barrier != byAddress {
		return nil
	}
	index, err := g.kernel.Route(dst)
	if err != nil {
		return err
	}
	if index != v.Index {
		return &RefusedError{
			v.Name, v.Role, fmt.Sprintf("the route to %s does not leave by it", dst),
			"give this node a route to that address by the diode's interface",
		}
	}
	return nil
}

func sourceAddr(source string) (netip.AddrPort, error) {
	if source == "" {
		return netip.AddrPort{}, nil
	}
	if addr, err := netip.ParseAddr(strings.Trim(source, "[]")); err == nil {
		return netip.AddrPortFrom(addr, 0), nil
	}
	ap, err := netip.ParseAddrPort(source)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("guard: source of a diode: %w", err)
	}
	return ap, nil
}
