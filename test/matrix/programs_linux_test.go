package matrix_test

import (
	"errors"
	"net"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"github.com/sluice-gateway/sluice/test/netlab"
)

// Verdicts of linux/bpf.h.
const (
	xdpPass = 2
	xdpTX   = 3
	tcxPass = 0
)

// attach loads a program of one verdict and attaches it to an interface until
// the test ends.
func (c *cell) attach(in *netlab.Namespace, iface string, kind ebpf.ProgramType, verdict int32) (lacks error) {
	c.Helper()
	return c.attachCode(in, iface, kind, 0, asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()})
}

func (c *cell) attachCode(in *netlab.Namespace, iface string, kind ebpf.ProgramType, mode link.XDPAttachFlags, code asm.Instructions) (lacks error) {
	c.Helper()
	err := in.Do(func() error {
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: kind, License: "GPL", Instructions: code})
		if err != nil {
			return err
		}
		l, err := attachTo(ifi.Index, kind, mode, p)
		if err != nil {
			return errors.Join(err, p.Close())
		}
		c.Cleanup(func() { _, _ = l.Close(), p.Close() })
		return nil
	})
	if err != nil && (errors.Is(err, ebpf.ErrNotSupported) || strings.Contains(err.Error(), "invalid argument")) {
		return err
	}
	c.tolerate(err)
	return nil
}

func attachTo(index int, kind ebpf.ProgramType, mode link.XDPAttachFlags, p *ebpf.Program) (link.Link, error) {
	if kind == ebpf.XDP {
		return link.AttachXDP(link.XDPOptions{Program: p, Interface: index, Flags: mode})
	}
	return link.AttachTCX(link.TCXOptions{Program: p, Interface: index, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()})
}

// tcxBefore attaches, before every tc filter, a program that ends the matter.
func tcxBefore(c *cell) error {
	if err := c.attach(c.at, c.iface, ebpf.SchedCLS, tcxPass); err != nil {
		return err
	}
	c.packets()
	return nil
}

// xdpReflect sends every frame back out of the interface that it came in by.
func xdpReflect(c *cell) error {
	// A veth takes frames from its peer's program only where it has one too.
	if err := c.attach(c.peer, outside, ebpf.XDP, xdpPass); err != nil {
		return err
	}
	if err := c.attach(c.at, c.iface, ebpf.XDP, xdpTX); err != nil {
		return err
	}
	for range 3 { // a veth's receive path may still be starting
		if _, err := c.peer.Inject(outside, false, marks(stimulusMark, 5)...); err != nil {
			c.Fatal(err)
		}
		c.rest(settle)
		if _, own := c.seen(); own > 0 {
			break
		}
	}
	return nil
}

// xdpRedirect sends what arrives at another interface out by this one, from
// the driver or from the kernel's generic stage.
func xdpRedirect(mode link.XDPAttachFlags) func(c *cell) error {
	return func(c *cell) error {
		c.Helper()
		// A veth takes redirected frames only where its peer has a program.
		if err := c.attach(c.peer, outside, ebpf.XDP, xdpPass); err != nil {
			return err
		}
		c.rest(settle)
		if err := c.attachCode(c.node, service, ebpf.XDP, mode, asm.Instructions{
			asm.Mov.Imm(asm.R1, int32(c.at.Index(c.iface))), asm.Mov.Imm(asm.R2, 0), asm.FnRedirect.Call(), asm.Return(),
		}); err != nil {
			return err
		}
		for range 3 {
			_, err := c.node.Inject("behind", false, marks(stimulusMark, 5)...)
			c.tolerate(err)
			c.rest(settle)
			if _, own := c.seen(); own > 0 {
				break
			}
		}
		return nil
	}
}
