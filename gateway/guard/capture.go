package guard

import (
	"context"
	"fmt"
	"net/netip"
	"os"
)

// DiodeCapture opens the packet socket that a one-way link arrives at on an
// interface without an address, the one that the rule iface of Policy.DiodeRX
// names. Nothing enters it but UDP to listen's port, over IPv4 without options
// or over IPv6, from source when that is valid and to listen's address unless
// that is unspecified; fragments of such datagrams enter so that they can be
// counted. The filter is set before the socket is bound, and locked.
//
// The file is in non-blocking mode and yields whole Ethernet frames; what the
// node itself sends is not among them. It is closed like the socket of
// DiodeSend: reading then returns an error. Opening it takes CAP_NET_RAW here
// or an Opener that has it, and it sends nothing unless somebody writes to it:
// hand it on to a reader only.
func (g *Guard) DiodeCapture(ctx context.Context, iface string, source netip.Addr, listen netip.AddrPort) (*os.File, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("guard: diode capture on %s: %w", iface, err)
	}
	if _, err := captureFilter(source, listen); err != nil {
		return nil, fmt.Errorf("guard: diode capture on %s: %w", iface, err)
	}
	v, err := g.diodeInterface(iface, forDiodeRX)
	if err != nil {
		return nil, err
	}
	file, err := g.packet(ctx, v, source, listen)
	if err != nil {
		return nil, err
	}
	if err := g.remember(v, forDiodeRX, file); err != nil {
		return nil, err
	}
	return file, nil
}
