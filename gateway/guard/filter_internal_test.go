package guard

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"golang.org/x/net/bpf"
)

// captureFrame makes an Ethernet frame with a UDP datagram from the near end
// to dst.
func captureFrame(t *testing.T, src, dst string, tag bool, change func(f []byte)) []byte {
	t.Helper()
	from, to := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: layers.EthernetTypeIPv4}
	var ip gopacket.SerializableLayer = &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	if to.Addr().Is6() {
		eth.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: from.Addr().AsSlice(), DstIP: to.Addr().AsSlice()}
	}
	stack := []gopacket.SerializableLayer{eth}
	if tag {
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: 5, Type: eth.EthernetType})
		eth.EthernetType = layers.EthernetTypeDot1Q
	}
	stack = append(stack, ip, &layers.UDP{SrcPort: layers.UDPPort(from.Port()), DstPort: layers.UDPPort(to.Port())}, gopacket.Payload("shard"))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true}, stack...); err != nil {
		t.Fatal(err)
	}
	f := slices.Clone(buf.Bytes())
	if change != nil {
		change(f)
	}
	return f
}

func TestCaptureFilter(t *testing.T) {
	set := func(off int, b ...byte) func([]byte) { return func(f []byte) { copy(f[off:], b) } }
	const near, far, near6, far6 = "10.99.0.1:4000", "10.99.0.2:5760", "[fd99::1]:4000", "[fd99::2]:5760"
	cases := []struct {
		name           string
		listen, source string // of the filter
		from, to       string
		tag            bool
		change         func([]byte)
		want           bool
	}{
		{"ours", far, "10.99.0.1", near, far, false, nil, true},
		{"tagged", far, "10.99.0.1", near, far, true, nil, true},
		{"any source", far, "", "192.0.2.1:1", far, false, nil, true},
		{"any destination", "0.0.0.0:5760", "10.99.0.1", near, "192.0.2.1:5760", false, nil, true},
		{"another source", far, "10.99.0.1", "10.99.0.3:4000", far, false, nil, false},
		{"another destination", far, "10.99.0.1", near, "10.99.0.3:5760", false, nil, false},
		{"another port", far, "10.99.0.1", near, "10.99.0.2:5761", false, nil, false},
		{"tcp", far, "10.99.0.1", near, far, false, set(off4Protocol, 6), false},
		{"options", far, "10.99.0.1", near, far, false, set(offIP, 0x46), false},
		{"arp", far, "10.99.0.1", near, far, false, set(offEtherType, 8, 6), false},
		{"first fragment", far, "10.99.0.1", near, far, false, set(off4Fragment, 0x20, 0), true},
		{"later fragment, without ports", far, "10.99.0.1", near, "10.99.0.2:5761", false, set(off4Fragment, 0x20, 1), true},
		{"later fragment of another", far, "10.99.0.1", "10.99.0.3:4000", far, false, set(off4Fragment, 0, 1), false},
		{"ipv6 on an ipv4 link", "0.0.0.0:5760", "", near6, far6, false, nil, false},
		{"ipv6", far6, "fd99::1", near6, far6, false, nil, true},
		{"ipv6 tagged", far6, "fd99::1", near6, far6, true, nil, true},
		{"ipv6, another source", far6, "fd99::1", "[fd99::3]:4000", far6, false, nil, false},
		{"ipv6, another destination", far6, "fd99::1", near6, "[fd99::3]:5760", false, nil, false},
		{"ipv6, another port", far6, "fd99::1", near6, "[fd99::2]:5761", false, nil, false},
		{"ipv6 fragment", far6, "fd99::1", near6, far6, false, set(off6Next, 44), true},
		{"ipv6 tcp", far6, "fd99::1", near6, far6, false, set(off6Next, 6), false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var source netip.Addr
			if c.source != "" {
				source = netip.MustParseAddr(c.source)
			}
			raw, err := captureFilter(source, netip.MustParseAddrPort(c.listen))
			if err != nil {
				t.Fatal(err)
			}
			code, _ := bpf.Disassemble(raw)
			vm, err := bpf.NewVM(code)
			if err != nil {
				t.Fatal(err)
			}
			frame := captureFrame(t, c.from, c.to, c.tag, c.change)
			kept, err := vm.Run(frame)
			if err != nil || kept > 0 != c.want {
				t.Errorf("kept %d bytes, %v; want %v", kept, err, c.want)
			}
			for size := range 42 { // cut short, nothing is let in and nothing goes wrong
				if kept, err := vm.Run(frame[:min(size, len(frame))]); err != nil || kept > 0 && size < off4Source {
					t.Errorf("%d bytes of it: kept %d, %v", size, kept, err)
				}
			}
		})
	}
}

func TestCaptureFilterRefuses(t *testing.T) {
	listen := netip.MustParseAddrPort("10.99.0.2:5760")
	for want, c := range map[string]struct {
		source netip.Addr
		listen netip.AddrPort
	}{
		"want an address and a port": {listen: netip.AddrPortFrom(listen.Addr(), 0)},
		"not of one IP version":      {netip.MustParseAddr("fd99::1"), listen},
	} {
		if _, err := captureFilter(c.source, c.listen); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		g := fakeGuard(t, newFake(loopback()), Policy{DiodeRX: []string{"lo"}})
		if _, err := g.DiodeCapture(t.Context(), "lo", c.source, c.listen); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
