//go:build linux

package recv

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What the kernel dropped for want of room is counted to the last datagram.
func TestKernelDropsAreCounted(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	m := newMultiReader(conn)
	if err := m.raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<10)
	}); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	r, home, sent := &Receiver{}, make(chan *chunk, 1), uint64(0)
	p := &path{Receiver: r}
	r.paths = []*path{p}
	c := newChunk(p, home)
	send := func(n int) {
		for range n {
			far, err := net.DialUDP("udp4", nil, conn.LocalAddr().(*net.UDPAddr))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := far.Write(make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			_ = far.Close()
			sent++
		}
	}
	for _, burst := range []int{100, 1, 50, 1} { // the count comes with the first datagram after the drops
		send(burst)
		c.packets = c.packets[:0]
		if err := m.read(c); err != nil {
			t.Fatal(err)
		}
		r.chunk(c)
		<-home
	}
	if got := p.frames.BadHeader; got == 0 || got >= sent || got+p.frames.KernelDrops != sent {
		t.Errorf("%d sent, %d read, %d counted as dropped", sent, got, p.frames.KernelDrops)
	}
}
