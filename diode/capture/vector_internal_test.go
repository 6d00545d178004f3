package capture

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var update = flag.Bool("update", false, "write testdata/*.vector anew")

// The link of all vectors, per IP version.
func vectorListen(v6 bool) (netip.AddrPort, netip.Addr) {
	if v6 {
		return netip.MustParseAddrPort("[fd99::2]:5760"), netip.MustParseAddr("fd99::1")
	}
	return netip.MustParseAddrPort("10.99.0.2:5760"), netip.MustParseAddr("10.99.0.1")
}

// packet is what a test frame is made of.
type packet struct {
	v6       bool
	tag      bool
	from, to string // addresses; empty = the link's
	port     uint16 // destination; 0 = the link's
	payload  string
	between  []gopacket.SerializableLayer // after the IP header
	change   func(frame []byte) []byte    // afterwards
}

func (p packet) frame(tb testing.TB) []byte {
	tb.Helper()
	listen, source := vectorListen(p.v6)
	src, dst, port := source, listen.Addr(), listen.Port()
	if p.from != "" {
		src = netip.MustParseAddr(p.from)
	}
	if p.to != "" {
		dst = netip.MustParseAddr(p.to)
	}
	if p.port != 0 {
		port = p.port
	}
	ethType, network, ip := networkLayer(p.v6, src, dst)
	eth := &layers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: ethType}
	udp := &layers.UDP{SrcPort: 40000, DstPort: layers.UDPPort(port)}
	if err := udp.SetNetworkLayerForChecksum(network); err != nil {
		tb.Fatal(err)
	}
	stack := []gopacket.SerializableLayer{eth}
	if p.tag {
		eth.EthernetType = layers.EthernetTypeDot1Q
		stack = append(stack, &layers.Dot1Q{VLANIdentifier: 7, Type: ethType})
	}
	stack = append(append(append(stack, ip), p.between...), udp, gopacket.Payload(p.payload))
	buf := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(buf, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, stack...); err != nil {
		tb.Fatal(err)
	}
	frame := slices.Clone(buf.Bytes())
	if p.change != nil {
		frame = p.change(frame)
	}
	return frame
}

func networkLayer(v6 bool, src, dst netip.Addr) (layers.EthernetType, gopacket.NetworkLayer, gopacket.SerializableLayer) {
	if v6 {
		ip := &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
		return layers.EthernetTypeIPv6, ip, ip
	}
	ip := &layers.IPv4{Version: 4, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: layers.IPProtocolUDP, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	return layers.EthernetTypeIPv4, ip, ip
}

// header4 changes bytes of an untagged IPv4 header and makes its checksum
// right again.
func header4(set map[int]byte) func([]byte) []byte {
	return func(f []byte) []byte {
		ip := f[14:34]
		for off, b := range set {
			ip[off] = b
		}
		ip[10], ip[11] = 0, 0
		s := ^fold(sum(0, ip))
		ip[10], ip[11] = byte(s>>8), byte(s)
		return f
	}
}

func set(off int, b byte) func([]byte) []byte {
	return func(f []byte) []byte { f[off] = b; return f }
}

type vectorCase struct {
	name   string
	expect refusal
	summed bool
	packet packet
}

func vectorCases() []vectorCase {
	hi := "sealed shard"
	return []vectorCase{
		{"ipv4", accepted, false, packet{payload: hi}},
		{"ipv4_odd", accepted, false, packet{payload: "odd"}},
		{"ipv4_empty", accepted, false, packet{}},
		{"ipv4_tagged", accepted, false, packet{payload: hi, tag: true}},
		{"ipv4_padded", accepted, false, packet{payload: hi, change: func(f []byte) []byte { return append(f, make([]byte, 20)...) }}},
		{"ipv4_no_checksum", accepted, false, packet{payload: hi, change: func(f []byte) []byte { f[40], f[41] = 0, 0; return f }}},
		{"ipv4_partial_checksum", accepted, true, packet{payload: hi, change: set(40, 0x55)}},
		{"ipv4_udp_checksum", badChecksum, false, packet{payload: hi, change: set(50, 0)}},
		{"ipv4_header_checksum", badChecksum, true, packet{payload: hi, change: set(14+8, 63)}},
		{"ipv4_version", malformed, false, packet{payload: hi, change: header4(map[int]byte{0: 0x65})}},
		{"ipv4_header_length", malformed, false, packet{payload: hi, change: header4(map[int]byte{0: 0x44})}},
		{"ipv4_total_length_zero", malformed, false, packet{payload: hi, change: header4(map[int]byte{2: 0, 3: 0})}},
		{"ipv4_total_length_long", malformed, false, packet{payload: hi, change: header4(map[int]byte{3: 200})}},
		{"ipv4_udp_length_long", malformed, false, packet{payload: hi, change: set(39, 21)}},
		{"ipv4_udp_length_zero", malformed, true, packet{payload: hi, change: set(39, 0)}},
		{"ipv4_udp_length_short", malformed, true, packet{payload: hi, change: set(39, 7)}},
		{"ipv4_tcp", malformed, false, packet{payload: hi, change: header4(map[int]byte{9: 6})}},
		{"ipv4_first_fragment", fragment, false, packet{payload: hi, change: header4(map[int]byte{6: 0x20})}},
		{"ipv4_later_fragment", fragment, false, packet{payload: hi, change: header4(map[int]byte{6: 0, 7: 1})}},
		{"ipv4_source", foreign, false, packet{payload: hi, from: "10.99.0.3"}},
		{"ipv4_destination", foreign, false, packet{payload: hi, to: "10.99.0.3"}},
		{"ipv4_port", foreign, false, packet{payload: hi, port: 5761}},
		{"ipv4_cut", malformed, false, packet{payload: hi, change: func(f []byte) []byte { return f[:45] }}},
		{"ethernet_cut", malformed, false, packet{payload: hi, change: func(f []byte) []byte { return f[:13] }}},
		{"arp", malformed, false, packet{payload: hi, change: set(13, 6)}},
		{"ipv6", accepted, false, packet{v6: true, payload: hi}},
		{"ipv6_tagged", accepted, false, packet{v6: true, payload: hi, tag: true}},
		{"ipv6_no_checksum", badChecksum, false, packet{v6: true, payload: hi, change: func(f []byte) []byte { f[60], f[61] = 0, 0; return f }}},
		{"ipv6_udp_checksum", badChecksum, false, packet{v6: true, payload: hi, change: set(65, 0)}},
		{"ipv6_version", malformed, false, packet{v6: true, payload: hi, change: set(14, 0x40)}},
		{"ipv6_length_zero", malformed, true, packet{v6: true, payload: hi, change: set(19, 0)}},
		{"ipv6_length_long", malformed, false, packet{v6: true, payload: hi, change: set(19, 21)}},
		{"ipv6_fragment", fragment, false, packet{v6: true, payload: hi, change: set(20, 44)}},
		{"ipv6_in_it_ipv4", malformed, false, packet{v6: true, payload: hi, change: set(20, 4)}},
		{"ipv6_source", foreign, false, packet{v6: true, payload: hi, from: "fd99::3"}},
	}
}

// TestVectors holds the decoder to testdata, which any implementation can
// read: a frame, the link, and what must be said of it.
func TestVectors(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	files, err := filepath.Glob("testdata/*.vector")
	if err != nil || len(files) != len(vectorCases()) {
		t.Fatalf("%d vectors, %v; want %d", len(files), err, len(vectorCases()))
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".vector"), func(t *testing.T) {
			v := readVector(t, file)
			listen, source := netip.MustParseAddrPort(v["listen"]), netip.MustParseAddr(v["source"])
			got, why := newDecoder(listen, source).decode(unhex(t, v["frame"]), v["summed"] == "yes")
			if why.String() != v["expect"] || !bytes.Equal(got, unhex(t, v["payload"])) {
				t.Errorf("%s, %q; want %s, %q", why, got, v["expect"], unhex(t, v["payload"]))
			}
		})
	}
}

// BenchmarkDecode costs one frame of a full shard, with the checksum and
// without.
func BenchmarkDecode(b *testing.B) {
	frame := packet{payload: strings.Repeat("s", 1456)}.frame(b)
	d := newDecoder(vectorListen(false))
	for name, summed := range map[string]bool{"checksum": false, "summed": true} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				if _, why := d.decode(frame, summed); why != accepted {
					b.Fatal(why)
				}
			}
		})
	}
}

func writeVectors(t *testing.T) {
	t.Helper()
	for _, c := range vectorCases() {
		listen, source := vectorListen(c.packet.v6)
		payload, summed := "", "no"
		if c.expect == accepted {
			payload = c.packet.payload
		}
		if c.summed {
			summed = "yes"
		}
		text := fmt.Sprintf("expect: %s\nlisten: %s\nsource: %s\nsummed: %s\npayload: %x\nframe: %x\n",
			c.expect, listen, source, summed, payload, c.packet.frame(t))
		if err := os.WriteFile(filepath.Join("testdata", c.name+".vector"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func readVector(tb testing.TB, file string) map[string]string {
	tb.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		tb.Fatal(err)
	}
	v := map[string]string{}
	for lines := bufio.NewScanner(bytes.NewReader(data)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), ":")
		v[name] = strings.TrimSpace(value)
	}
	return v
}

func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}
