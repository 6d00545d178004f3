package recv

import (
	"encoding/binary"
	"errors"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// wantBuffer is the receive buffer asked for, in bytes. At 64 MiB nothing was
// lost in 30 measured runs at up to 2.4 Gbit/s; with the default 208 KiB up to
// 10 %.
const wantBuffer = 64 << 20

// oobBytes is room for the two control messages that we ask for.
const oobBytes = 128

// mmsghdr is struct mmsghdr of recvmmsg(2), which x/sys/unix does not define.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// multiReader takes many datagrams with one recvmmsg(2), each slot possibly a
// burst that the kernel coalesced (UDP_GRO, udp(7)). It does not allocate.
type multiReader struct {
	raw  syscall.RawConn
	msgs [chunkSlots]mmsghdr
	iovs [chunkSlots]unix.Iovec
	oobs [chunkSlots][oobBytes]byte
	n    int
	err  error
	call func(fd uintptr) bool // made once: a closure per call would allocate
}

func newMultiReader(conn PacketReader) *multiReader {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	m := &multiReader{raw: raw}
	m.call = m.recvmmsg
	err = raw.Control(func(fd uintptr) {
		// Both are optional: without them datagrams come one by one, and
		// drops are not counted.
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
	})
	if err != nil {
		return nil
	}
	return m
}

func (m *multiReader) read(c *chunk) error {
	for i := range m.msgs {
		slot := c.slot(i)
		m.iovs[i].Base = &slot[0]
		m.iovs[i].SetLen(len(slot))
		h := &m.msgs[i].hdr
		h.Iov, h.Control, h.Flags = &m.iovs[i], &m.oobs[i][0], 0
		h.SetIovlen(1)
		h.SetControllen(oobBytes)
	}
	if err := m.raw.Read(m.call); err != nil {
		return err
	}
	if m.err != nil {
		return m.err
	}
	for i := range m.n {
		m.take(c, i)
	}
	return nil
}

func (m *multiReader) recvmmsg(fd uintptr) bool {
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m.msgs[0])), chunkSlots, unix.MSG_DONTWAIT, 0, 0) //nolint:gosec // G103: recvmmsg(2) takes an array
		switch errno {
		case 0:
			m.n, m.err = int(n), nil
			return true
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return false
		default:
			m.n, m.err = 0, errno
			return true
		}
	}
}

// take notes message i with what its control messages say. A message that was
// truncated cannot be a frame and is left to the header check.
func (m *multiReader) take(c *chunk, i int) {
	msg := &m.msgs[i]
	segment := 0
	oob := m.oobs[i][:msg.hdr.Controllen]
	for len(oob) >= unix.SizeofCmsghdr {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0])) //nolint:gosec // G103: cmsg(3)
		size := int(h.Len)
		if size < unix.CmsgLen(4) || size > len(oob) {
			break
		}
		value := binary.NativeEndian.Uint32(oob[unix.CmsgLen(0):])
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO:
			segment = int(value)
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL:
			c.drops, c.hasDrop = value, true
		}
		oob = oob[min(unix.CmsgSpace(size-unix.CmsgLen(0)), len(oob)):]
	}
	c.add(i, int(msg.n), segment)
}

// growBuffer asks for wantBuffer and returns what was granted, in bytes as the
// kernel counts them (twice what was asked for, socket(7)).
func growBuffer(conn PacketReader) (granted int, err error) {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return 0, nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, err
	}
	var inner error
	err = raw.Control(func(fd uintptr) {
		s := int(fd)
		// Whoever opened it may have had the privilege that this process has not: asking again would shrink it.
		if had, err := unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF); err == nil && had >= wantBuffer {
			granted = had
			return
		}
		if unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wantBuffer) != nil {
			inner = unix.SetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF, wantBuffer)
		}
		var err error
		granted, err = unix.GetsockoptInt(s, unix.SOL_SOCKET, unix.SO_RCVBUF)
		inner = errors.Join(inner, err)
	})
	return granted, errors.Join(err, inner)
}
