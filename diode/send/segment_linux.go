package send

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// segmenter hands the kernel many frames of one size with one system call
// (UDP_SEGMENT, udp(7)). Not safe for concurrent use.
type segmenter struct {
	raw  syscall.RawConn
	oob  []byte
	p    []byte
	err  error
	call func(fd uintptr) bool // made once: a closure per call would allocate
}

// newSegmenter returns nil when conn is no socket or its kernel does not know
// UDP_SEGMENT.
func newSegmenter(conn PacketWriter) *segmenter {
	raw := rawConn(conn)
	if raw == nil {
		return nil
	}
	known := false
	err := raw.Control(func(fd uintptr) {
		_, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_UDP, unix.UDP_SEGMENT)
		known = err == nil
	})
	if err != nil || !known {
		return nil
	}
	g := &segmenter{raw: raw, oob: make([]byte, unix.CmsgSpace(2))}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&g.oob[0])) //nolint:gosec // G103: cmsg(3) layout, aligned by the allocator
	h.Level, h.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	g.call = g.sendmsg
	return g
}

// send hands over the frames in b, each of size bytes, the last one at most.
func (g *segmenter) send(b []byte, size int) error {
	binary.NativeEndian.PutUint16(g.oob[unix.CmsgLen(0):], uint16(size))
	g.p = b
	if err := g.raw.Write(g.call); err != nil {
		return err
	}
	return g.err
}

func (g *segmenter) sendmsg(fd uintptr) bool {
	for {
		_, g.err = unix.SendmsgN(int(fd), g.p, g.oob, nil, unix.MSG_DONTWAIT)
		if !errors.Is(g.err, unix.EINTR) {
			return !errors.Is(g.err, unix.EAGAIN)
		}
	}
}

// segmentationRefused tells "this device cannot do it" (EIO: no checksum
// offload; EINVAL, EOPNOTSUPP: kernel) from trouble on the link.
func segmentationRefused(err error) bool {
	return errors.Is(err, unix.EIO) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.EOPNOTSUPP)
}

// forbidFragments sets the don't-fragment bit: one lost fragment would cost a
// whole frame and fill the far side's reassembly queue (ip(7)).
func forbidFragments(conn PacketWriter, ipv6 bool) error {
	raw := rawConn(conn)
	if raw == nil {
		return nil
	}
	var err error
	ctl := raw.Control(func(fd uintptr) {
		if ipv6 {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
			return
		}
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
	})
	if err := errors.Join(ctl, err); err != nil {
		return fmt.Errorf("send: forbid fragments: %w", err)
	}
	return nil
}

func rawConn(conn PacketWriter) syscall.RawConn {
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}
