package matrix_test

import (
	"net/netip"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// packets sends five marked frames by a packet socket.
func (c *cell) packets() {
	c.Helper()
	_, err := c.at.Inject(c.iface, false, marks(stimulusMark, 5)...)
	c.tolerate(err)
	c.rest(settle)
}

func packet(c *cell) error { c.packets(); return nil }

func packetBypass(c *cell) error {
	_, err := c.at.Inject(c.iface, true, marks(stimulusMark, 5)...)
	c.tolerate(err)
	c.rest(settle)
	return nil
}

func afXDP(c *cell) error {
	c.tolerate(c.at.TransmitXDP(c.iface, marks(stimulusMark, 5)...))
	c.rest(settle)
	return nil
}

// destinations are the peer, everybody, and everybody over IPv6.
func destinations() []netip.AddrPort {
	const port = 9
	return []netip.AddrPort{
		netip.AddrPortFrom(netlab.MonitorAddr().Addr(), port),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), port),
		netip.AddrPortFrom(netip.MustParseAddr("ff02::1"), port),
	}
}

func udpBound(c *cell) error {
	c.tolerate(c.node.Do(func() error { return sendBound(c.iface, 4, destinations()...) }))
	c.rest(settle)
	return nil
}

func udpChosen(c *cell) error {
	c.tolerate(c.node.Do(func() error { return sendChosen(c.iface, 4, destinations()...) }))
	c.rest(settle)
	return nil
}

func joinGroups(c *cell) error {
	var leave func()
	c.tolerate(c.node.Do(func() (err error) { leave, err = join(c.iface); return err }))
	if leave != nil {
		c.Cleanup(leave)
	}
	c.rest(helloes) // reports are delayed at random and repeated
	return nil
}

// scan4 and the following aim at every address that the node has, from the
// monitored network. A route leads back, as an administrator may have set it.
func scan4(c *cell) error {
	c.routeBack()
	c.scan(netlab.MonitorAddr().Addr(), netlab.PlantAddr().Addr())
	return nil
}

func scan6(c *cell) error {
	c.routeBack()
	c.rest(greeting)
	c.scan(netlab.MonitorAddr6().Addr(), netlab.PlantAddr6().Addr(), linkLocal())
	return nil
}

func scanSpoofed(c *cell) error {
	c.routeBack()
	c.rest(greeting)
	c.scan(spoofed(), netlab.PlantAddr().Addr())
	c.scan(spoofed6(), netlab.PlantAddr6().Addr())
	return nil
}

func scanAddressed(c *cell) error {
	c.tolerate(c.node.TryBatch("addr add " + ownAddr().String() + " dev " + c.iface))
	c.tolerate(c.node.TryBatch("addr add " + ownAddr6().String() + " dev " + c.iface + " nodad"))
	c.scan(netlab.MonitorAddr().Addr(), ownAddr().Addr(), netlab.PlantAddr().Addr())
	c.scan(netlab.MonitorAddr6().Addr(), ownAddr6().Addr(), netlab.PlantAddr6().Addr())
	return nil
}

func (c *cell) routeBack() {
	c.Helper()
	c.tolerate(c.node.TryBatch("route add 10.66.0.0/24 dev " + c.iface))
	c.tolerate(c.node.TryBatch("route add fd00:66::/64 dev " + c.iface))
}

// scan asks for addresses, echoes and ports from one source.
func (c *cell) scan(src netip.Addr, targets ...netip.Addr) {
	c.Helper()
	var frames [][]byte
	for _, dst := range targets {
		frames = append(frames, whoHas(src, dst), echo(src, dst))
		for _, port := range []uint16{22, 80, 443, 502, openPort} {
			frames = append(frames, syn(src, dst, port), datagram(src, dst, port, "scan"))
		}
	}
	c.listen()
	if _, err := c.peer.Inject(outside, false, frames...); err != nil {
		c.Fatal(err)
	}
	c.rest(2 * settle)
}
