package capture_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/diode/capture"
	"github.com/sluice-gateway/sluice/test/netlab"
)

// line is a cable with a sender that has addresses and a receiver that has
// none.
type line struct {
	t        testing.TB
	lab      *netlab.Lab
	near     *netlab.Namespace
	far      *netlab.Namespace
	listen   netip.AddrPort
	source   netip.Addr
	conn     *net.UDPConn
	ring     *capture.Ring
	buf      []byte
	received [][]byte
}

func newLine(t testing.TB, v6 bool) *line {
	t.Helper()
	lab := netlab.New(t)
	l := &line{
		t: t, lab: lab, near: lab.Namespace("near"), far: lab.Namespace("far"),
		listen: netip.MustParseAddrPort("10.99.0.2:5760"), source: netip.MustParseAddr("10.99.0.1"), buf: make([]byte, 1<<20),
	}
	prefix := netip.MustParsePrefix("10.99.0.1/24")
	if v6 {
		l.listen, l.source = netip.MustParseAddrPort("[fd99::2]:5760"), netip.MustParseAddr("fd99::1")
		prefix = netip.MustParsePrefix("fd99::1/64")
	}
	lab.Cable(netlab.End{In: l.near, Name: "tx0", Addrs: []netip.Prefix{prefix}}, netlab.End{In: l.far, Name: "rx0"})
	l.far.Sysctl("net.ipv6.conf.rx0.disable_ipv6", "1")
	l.near.StaticNeighbour("tx0", l.listen.Addr(), l.far.MAC("rx0"))
	l.conn = l.dial(l.listen)
	l.open("rx0", 0)
	return l
}

func (l *line) dial(to netip.AddrPort) *net.UDPConn {
	l.t.Helper()
	var conn *net.UDPConn
	err := l.near.Do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		return err
	})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// open opens a ring of the given size on an interface of the far end.
func (l *line) open(iface string, ringBytes int) {
	l.t.Helper()
	sock := packetSocket(l.t, l.far, iface)
	ring, err := capture.New(sock, capture.Config{Interface: iface, Listen: l.listen, Source: l.source, RingBytes: ringBytes})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		if err := ring.Close(); err != nil {
			l.t.Error(err)
		}
	})
	l.ring = ring
}

// packetSocket opens what a ring is made of, without a filter.
func packetSocket(t testing.TB, in *netlab.Namespace, iface string) *os.File {
	t.Helper()
	var file *os.File
	err := in.Do(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		file = os.NewFile(uintptr(fd), "packet "+iface)
		ifi, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
		return errors.Join(unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifi.Index}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// payload makes datagram i, with a pattern that shows any mix-up.
func payload(i, size int) []byte {
	b := bytes.Repeat([]byte{byte(i)}, size)
	binary.BigEndian.PutUint32(b, uint32(i))
	return b
}

func (l *line) send(b []byte) {
	l.t.Helper()
	if _, err := l.conn.Write(b); err != nil {
		l.t.Fatal(err)
	}
}

// sendSegmented gives the kernel many datagrams at once.
func (l *line) sendSegmented(b []byte, segment int) {
	l.t.Helper()
	control(l.t, l.conn, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment)
	})
	l.send(b)
}

func control(t testing.TB, c syscall.Conn, f func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if controlErr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); controlErr != nil || err != nil {
		t.Fatal(controlErr, err)
	}
}

// receive reads until n more datagrams are there.
func (l *line) receive(n int) [][]byte {
	l.t.Helper()
	if err := l.ring.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		l.t.Fatal(err)
	}
	l.received = l.received[:0]
	for len(l.received) < n {
		if err := l.ring.ReadBurst(l.buf, l.add); err != nil {
			l.t.Fatalf("%d of %d datagrams: %v; %+v", len(l.received), n, err, l.ring.Stats())
		}
	}
	return l.received
}

func (l *line) add(off, n int) { l.received = append(l.received, bytes.Clone(l.buf[off:off+n])) }

// expect receives the datagrams 0 to n-1, in order.
func (l *line) expect(n, size int) {
	l.t.Helper()
	for i, got := range l.receive(n) {
		if !bytes.Equal(got, payload(i, size)) {
			l.t.Fatalf("datagram %d of %d bytes is not what was sent: %.16x", i, len(got), got)
		}
	}
}

func TestDatagramsOfARealLink(t *testing.T) {
	for name, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
		t.Run(name, func(t *testing.T) {
			l := newLine(t, v6)
			for i := range 500 {
				l.send(payload(i, 1400))
			}
			l.expect(500, 1400)
			s := l.ring.Stats()
			if s.Datagrams != 500 || s.Frames != 500 || s.Merged != 0 || s.Drops != 0 || s.Checksums != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestTaggedFrames: a tag, which the kernel takes off before the ring sees the
// frame, changes nothing, and neither does one that is still there.
func TestTaggedFrames(t *testing.T) {
	l := newLine(t, false)
	mac, err := net.ParseMAC(l.far.MAC("rx0"))
	if err != nil {
		t.Fatal(err)
	}
	frame := slices.Concat([]byte(mac), vectorFrame(t, "ipv4_tagged")[6:])
	tag := bytes.Clone(frame[12:16])
	twice := append(append(bytes.Clone(frame[:12]), tag...), frame[12:]...)
	out := packetSocket(t, l.near, "tx0")
	defer func() { _ = out.Close() }()
	for _, f := range [][]byte{frame, twice} {
		if _, err := out.Write(f); err != nil {
			t.Fatal(err)
		}
		if got := l.receive(1)[0]; string(got) != "sealed shard" {
			t.Errorf("%q", got)
		}
	}
}

// vectorFrame reads the frame of a vector.
func vectorFrame(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".vector")
	if err != nil {
		t.Fatal(err)
	}
	_, digits, _ := strings.Cut(string(text), "frame: ")
	frame, err := hex.DecodeString(strings.TrimSpace(digits))
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

// TestMergedDatagrams: what the kernel hands over as one frame is cut into the
// datagrams that were sent, whoever merged it.
func TestMergedDatagrams(t *testing.T) {
	const segment, count = 1400, 40
	var burst []byte
	for i := range count {
		burst = append(burst, payload(i, segment)...)
	}
	for name, prepare := range map[string]func(l *line){
		"never segmented": func(l *line) {
			l.near.Run("ethtool", "-K", "tx0", "gso", "on", "tx-udp-segmentation", "on")
		},
		"gro forwarding": func(l *line) { l.far.Run("ethtool", "-K", "rx0", "gro", "on", "rx-udp-gro-forwarding", "on") },
		"gro list":       func(l *line) { l.far.Run("ethtool", "-K", "rx0", "gro", "on", "rx-gro-list", "on") },
	} {
		for version, v6 := range map[string]bool{"ipv4": false, "ipv6": true} {
			t.Run(name+" "+version, func(t *testing.T) {
				l := newLine(t, v6)
				prepare(l)
				l.sendSegmented(burst, segment)
				l.expect(count, segment)
				if s := l.ring.Stats(); s.Merged == 0 || s.Frames >= count {
					t.Errorf("nothing was merged, so nothing was tested: %+v", s)
				}
				l.sendSegmented(append(bytes.Clone(burst), payload(count, 100)...), segment)
				if got := l.receive(count + 1); len(got) != count+1 || len(got[count]) != 100 {
					t.Errorf("%d datagrams, the last of %d bytes", len(got), len(got[len(got)-1]))
				}
			})
		}
	}
}

func TestRefusalsAreCounted(t *testing.T) {
	l := newLine(t, false)
	for _, to := range []string{"10.99.0.2:5761", "10.99.0.3:5760"} {
		l.near.StaticNeighbour("tx0", netip.MustParseAddrPort(to).Addr(), l.far.MAC("rx0"))
		if _, err := l.dial(netip.MustParseAddrPort(to)).Write([]byte("other")); err != nil {
			t.Fatal(err)
		}
	}
	l.send(payload(0, 1400))
	l.expect(1, 1400)
	if s := l.ring.Stats(); s.Foreign != 2 {
		t.Errorf("foreign: %+v", s)
	}
	l.near.StaticNeighbour("tx0", l.listen.Addr(), "02:00:00:00:0f:0f")
	l.send(payload(1, 1400))
	l.near.StaticNeighbour("tx0", l.listen.Addr(), l.far.MAC("rx0"))
	l.send(payload(0, 1400))
	l.expect(1, 1400)
	if s := l.ring.Stats(); s.OtherHost != 1 {
		t.Errorf("other host: %+v", s)
	}
	control(t, l.conn, func(fd int) error {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	})
	l.send(payload(2, 4000))
	l.send(payload(0, 1400))
	l.expect(1, 1400)
	if s := l.ring.Stats(); s.Fragments != 3 {
		t.Errorf("fragments: %+v", s)
	}
}

// TestOverrunIsCounted fills the ring while nobody reads. What is delivered
// afterwards and what was dropped is all that was sent.
func TestOverrunIsCounted(t *testing.T) {
	l := newLine(t, false)
	if err := l.ring.Close(); err != nil {
		t.Fatal(err)
	}
	l.open("rx0", 1<<20)
	const sent = 2000
	for i := range sent {
		l.send(payload(i, 1400))
	}
	drops := l.ring.Drops()
	if drops == 0 || drops >= sent {
		t.Fatalf("%d of %d dropped", drops, sent)
	}
	for i, got := range l.receive(int(sent - drops)) {
		if !bytes.Equal(got, payload(i, 1400)) {
			t.Fatalf("datagram %d is not what was sent: %.16x", i, got)
		}
	}
	for i := range 10 {
		l.send(payload(i, 1400))
	}
	l.expect(10, 1400)
	if again := l.ring.Drops(); again != drops {
		t.Errorf("%d drops, then %d: the count must only rise with drops", drops, again)
	}
}

// TestOneByOne reads as from a UDP socket, also what came merged.
func TestOneByOne(t *testing.T) {
	l := newLine(t, false)
	l.near.Run("ethtool", "-K", "tx0", "gso", "on", "tx-udp-segmentation", "on")
	var burst []byte
	for i := range 5 {
		burst = append(burst, payload(i, 1400)...)
	}
	l.sendSegmented(burst, 1400)
	if err := l.ring.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		n, err := l.ring.Read(l.buf)
		if err != nil || !bytes.Equal(l.buf[:n], payload(i, 1400)) {
			t.Fatalf("datagram %d: %d bytes, %v", i, n, err)
		}
	}
}

// TestSmallBuffer: what does not fit now comes with the next call, and what
// never fits is counted.
func TestSmallBuffer(t *testing.T) {
	l := newLine(t, false)
	l.near.Run("ethtool", "-K", "tx0", "gso", "on", "tx-udp-segmentation", "on")
	l.buf = make([]byte, 3000)
	var burst []byte
	for i := range 5 {
		burst = append(burst, payload(i, 1400)...)
	}
	l.sendSegmented(burst, 1400)
	l.expect(5, 1400)
	l.buf = make([]byte, 1000)
	l.sendSegmented(burst, 1400)
	l.send(payload(0, 100))
	l.expect(1, 100)
	if s := l.ring.Stats(); s.Cut == 0 {
		t.Errorf("%+v", s)
	}
}

func TestDeadlineAndClose(t *testing.T) {
	l := newLine(t, false)
	if err := l.ring.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if err := l.ring.ReadBurst(l.buf, l.add); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("deadline: %v", err)
	}
	l.send(payload(0, 1400))
	l.expect(1, 1400)
	ended := make(chan error, 1)
	if err := l.ring.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- l.ring.ReadBurst(l.buf, l.add) }()
	if err := l.ring.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, net.ErrClosed) || !strings.HasPrefix(err.Error(), "capture: rx0: ") {
		t.Errorf("close: %v", err)
	}
	if err := errors.Join(l.ring.Close(), l.ring.ReadBurst(l.buf, l.add)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	l.ring.Stats() // does not touch what is gone
}

// TestSocketClosedByItsOpener: whoever opened the socket may take it away.
func TestSocketClosedByItsOpener(t *testing.T) {
	l := newLine(t, false)
	sock := packetSocket(t, l.far, "rx0")
	ring, err := capture.New(sock, capture.Config{Interface: "rx0", Listen: l.listen, RingBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	l.send(payload(0, 1400))
	if n, err := ring.Read(l.buf); err != nil || n != 1400 {
		t.Fatalf("%d bytes, %v", n, err)
	}
	l.send(payload(1, 1400))
	if err := sock.Close(); err != nil {
		t.Fatal(err)
	}
	if n, err := ring.Read(l.buf); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if err := ring.Close(); err != nil {
		t.Error(err)
	}
}

// TestInterfaceGoesDownAndUp: the ring outlives it, also one that waits.
func TestInterfaceGoesDownAndUp(t *testing.T) {
	l := newLine(t, false)
	ended := make(chan error, 1)
	if err := l.ring.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { ended <- l.ring.ReadBurst(l.buf, l.add) }()
	l.far.Run("ip", "link", "set", "rx0", "down")
	l.far.Run("ip", "link", "set", "rx0", "up")
	l.send(payload(0, 1400))
	if err := <-ended; err != nil || len(l.received) != 1 {
		t.Fatalf("%d datagrams, %v", len(l.received), err)
	}
	for i := range 10 {
		l.send(payload(i, 1400))
	}
	l.expect(10, 1400)
}

func TestWhatNewRefuses(t *testing.T) {
	lab := netlab.New(t)
	in := lab.Namespace("far")
	listen := netip.MustParseAddrPort("10.99.0.2:5760")
	for want, cfg := range map[string]capture.Config{
		"want an address and a port": {Listen: netip.AddrPortFrom(listen.Addr(), 0)},
		"not of one IP version":      {Listen: listen, Source: netip.MustParseAddr("fd99::1")},
		"is not between":             {Listen: listen, RingBytes: 4096},
	} {
		if _, err := capture.New(packetSocket(t, in, "lo"), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	plain, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := capture.New(plain, capture.Config{Interface: "lo", Listen: listen}); !errors.Is(err, capture.ErrNoKernel) {
		t.Errorf("a socket that is none of packets: %v", err)
	}
}
