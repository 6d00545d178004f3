package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sluice-gateway/sluice/test/bench/stage"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// Interfaces of the lab.
const (
	nearDirect, farDirect = "dtx0", "drx0" // one cable
	nearWire, farWire     = "dtx1", "drx1" // through the third namespace
	wireIn, wireOut       = "in0", "out0"
)

// path is one way from the near to the far namespace.
type path struct {
	nearIf, farIf    string
	nearAddr, toAddr netip.Addr
	lossy            bool // through the namespace that loses
}

func directPath() path {
	return path{nearDirect, farDirect, netip.MustParseAddr("10.77.0.1"), netip.MustParseAddr("10.77.0.2"), false}
}

func wirePath() path {
	return path{nearWire, farWire, netip.MustParseAddr("10.78.0.1"), netip.MustParseAddr("10.78.0.2"), true}
}

// lab is where the contestants are measured.
type lab struct {
	options
	host           testing.TB
	out            io.Writer
	self           string // this program
	dir            string // payload and output, on a tmpfs
	near, far      *netlab.Namespace
	wire           *wire
	mtu            int    // as the cables are set now
	uncounted      uint64 // bytes of each packet that the near interface of the row does not count
	input, small   *payload
	output         *os.File
	probed         map[string]bool // losses that the probe has confirmed
	rates          map[string]uint64
	direct, forked path
}

// inLab builds the lab, calls f, and removes the lab whatever happens.
func inLab(ctx context.Context, o options, out io.Writer, f func(*lab) error) error {
	return stage.Run(ctx, "bench-diode", out, func(tb testing.TB) error {
		tb.Helper()
		l := &lab{options: o, host: tb, out: out, probed: map[string]bool{}, rates: map[string]uint64{}, direct: directPath(), forked: wirePath()}
		if err := l.files(); err != nil {
			return err
		}
		l.cables()
		return f(l)
	})
}

// files makes the payload and the file that receivers write to.
func (l *lab) files() error {
	var err error
	if l.self, err = os.Executable(); err != nil {
		return err
	}
	if l.dir, err = os.MkdirTemp(l.options.dir, "bench-diode"); err != nil {
		return err
	}
	l.host.Cleanup(func() { _ = os.RemoveAll(l.dir) })
	if l.input, err = newPayload(filepath.Join(l.dir, "input"), l.size, l.seed); err != nil {
		return err
	}
	if l.small, err = newPayload(filepath.Join(l.dir, "small"), l.peerSize, l.seed+1); err != nil {
		return err
	}
	if l.output, err = os.Create(filepath.Join(l.dir, "output")); err != nil {
		return err
	}
	l.host.Cleanup(func() { _ = l.output.Close() })
	return zero(l.output, max(l.size, l.peerSize))
}

// cables lays both ways and makes them one-way.
func (l *lab) cables() {
	n := netlab.New(l.host)
	l.near, l.far = n.Namespace("near"), n.Namespace("far")
	between := n.Namespace("between")
	n.Cable(netlab.End{In: l.near, Name: nearDirect}, netlab.End{In: l.far, Name: farDirect})
	n.Cable(netlab.End{In: l.near, Name: nearWire}, netlab.End{In: between, Name: wireIn})
	n.Cable(netlab.End{In: between, Name: wireOut}, netlab.End{In: l.far, Name: farWire})
	for _, p := range []path{l.direct, l.forked} {
		l.near.Sysctl("net.ipv6.conf."+p.nearIf+".disable_ipv6", "1")
		l.far.Sysctl("net.ipv6.conf."+p.farIf+".disable_ipv6", "1")
		l.near.AddAddr(p.nearIf, netip.PrefixFrom(p.nearAddr, 24))
		l.far.AddAddr(p.farIf, netip.PrefixFrom(p.toAddr, 24))
		l.near.StaticNeighbour(p.nearIf, p.toAddr, l.far.MAC(p.farIf))
		l.far.StaticNeighbour(p.farIf, p.nearAddr, l.near.MAC(p.nearIf))
		l.setGRO(p, l.gro)
	}
	between.Forward(wireIn, wireOut) // promiscuous, without ARP and IPv6; the rules are replaced at once
	l.wire = &wire{in: between}
	l.mtu = 1500
}

// setGRO turns receive offload of a path's far interface on or off.
func (l *lab) setGRO(p path, on bool) {
	word := map[bool]string{true: "on", false: "off"}[on]
	l.far.Run("ethtool", "-K", p.farIf, "gro", word, "rx-udp-gro-forwarding", word)
}

// setMTU changes all cables.
func (l *lab) setMTU(mtu int) {
	if l.mtu == mtu {
		return
	}
	for _, name := range []string{nearDirect, nearWire} {
		l.near.Run("ip", "link", "set", name, "mtu", strconv.Itoa(mtu))
	}
	for _, name := range []string{farDirect, farWire} {
		l.far.Run("ip", "link", "set", name, "mtu", strconv.Itoa(mtu))
	}
	for _, name := range []string{wireIn, wireOut} {
		l.wire.in.Run("ip", "link", "set", name, "mtu", strconv.Itoa(mtu))
	}
	l.mtu = mtu
}

// returnPath forbids the far namespace to send anything, or allows it for a yardstick that cannot do without.
func (l *lab) returnPath(ctx context.Context, allowed bool) error {
	drop := ""
	if !allowed {
		drop = fmt.Sprintf(`
	chain direct {
		type filter hook egress device %q priority 0
		drop
	}
	chain forked {
		type filter hook egress device %q priority 0
		drop
	}`, farDirect, farWire)
	}
	return nft(ctx, l.far, "table netdev diode\ndelete table netdev diode\ntable netdev diode {"+drop+"\n}\n")
}

// nft loads a script into a namespace.
func nft(ctx context.Context, n *netlab.Namespace, script string) error {
	_, err := inside(ctx, n, strings.NewReader(script), "nft", "-f", "-")
	return err
}

// inside runs a command in a namespace and returns what it printed.
func inside(ctx context.Context, n *netlab.Namespace, stdin io.Reader, name string, args ...string) (string, error) {
	cmd := n.Command(ctx, name, args...)
	cmd.Stdin = stdin
	out, err := cmd.Output()
	if err != nil {
		text := out
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			text = exit.Stderr
		}
		return "", fmt.Errorf("%s: %s: %w: %s", n.Name, name, err, text)
	}
	return string(out), nil
}
