package netlab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	xdpFrame = 2048 // bytes of one frame of the shared memory; the smallest the kernel takes
	xdpRing  = 64   // entries of each ring; a power of two
	// xdpWait bounds how long the kernel may take to send what it was given.
	// Ours: it happens within the system call.
	xdpWait = time.Second
)

// TransmitXDP sends up to 64 whole frames, of at most 2048 bytes each, through
// an AF_XDP socket in copy mode (Documentation/networking/af_xdp.rst): straight
// to the driver, past the queueing discipline, tc and nftables. It needs no
// XDP program. It returns when the driver has taken them all.
func (n *Namespace) TransmitXDP(iface string, frames ...[]byte) error {
	if len(frames) > xdpRing {
		return fmt.Errorf("netlab: AF_XDP by %s: %d frames, at most %d", iface, len(frames), xdpRing)
	}
	return n.Do(func() error {
		x, err := openXDP(iface)
		if err == nil {
			err = errors.Join(x.transmit(frames), x.close())
		}
		if err != nil {
			return fmt.Errorf("netlab: AF_XDP by %s: %w", iface, err)
		}
		return nil
	})
}

// xdpSocket is an AF_XDP socket that only sends.
type xdpSocket struct {
	fd             int
	umem           []byte // the frames
	tx, completion []byte // mapped rings
	off            xdpOffsets
}

// xdpOffsets is struct xdp_mmap_offsets of linux/if_xdp.h.
type xdpOffsets struct{ rx, tx, fill, completion xdpRingOffset }

type xdpRingOffset struct{ producer, consumer, desc, flags uint64 }

// xdpMemory is struct xdp_umem_reg of linux/if_xdp.h.
type xdpMemory struct {
	addr, length                        uint64
	chunk, headroom, flags, metadataLen uint32
}

func openXDP(iface string) (*xdpSocket, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	x := &xdpSocket{fd: fd}
	if err := errors.Join(x.memory(), x.rings()); err != nil {
		return nil, errors.Join(err, x.close())
	}
	err = unix.Bind(fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(ifi.Index)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("bind: %w", err), x.close())
	}
	return x, nil
}

// memory gives the kernel the memory that the frames lie in.
func (x *xdpSocket) memory() (err error) {
	x.umem, err = unix.Mmap(-1, 0, xdpRing*xdpFrame, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	reg := xdpMemory{addr: uint64(uintptr(unsafe.Pointer(&x.umem[0]))), length: uint64(len(x.umem)), chunk: xdpFrame}
	return x.set(unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg))
}

// rings sizes and maps the rings. The kernel wants the fill ring as well.
func (x *xdpSocket) rings() error {
	size := uint32(xdpRing)
	for _, option := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_TX_RING} {
		if err := x.set(option, unsafe.Pointer(&size), unsafe.Sizeof(size)); err != nil {
			return err
		}
	}
	length := uint32(unsafe.Sizeof(x.off))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(x.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&x.off)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return fmt.Errorf("offsets: %w", errno)
	}
	var err error
	if x.tx, err = x.mapRing(unix.XDP_PGOFF_TX_RING, x.off.tx.desc+xdpRing*16); err != nil {
		return err
	}
	x.completion, err = x.mapRing(unix.XDP_UMEM_PGOFF_COMPLETION_RING, x.off.completion.desc+xdpRing*8)
	return err
}

func (x *xdpSocket) mapRing(offset int64, size uint64) ([]byte, error) {
	b, err := unix.Mmap(x.fd, offset, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	return b, nil
}

func (x *xdpSocket) set(option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(x.fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return fmt.Errorf("option %d: %w", option, errno)
	}
	return nil
}

// transmit puts the frames in the ring, and wakes the kernel until it has
// taken all of them.
func (x *xdpSocket) transmit(frames [][]byte) error {
	for i, f := range frames {
		if len(f) > xdpFrame {
			return fmt.Errorf("frame of %d bytes, at most %d", len(f), xdpFrame)
		}
		copy(x.umem[i*xdpFrame:], f)
		desc := x.tx[x.off.tx.desc+uint64(i)*16:]
		binary.NativeEndian.PutUint64(desc, uint64(i*xdpFrame))
		binary.NativeEndian.PutUint64(desc[8:], uint64(len(f))) // length, then options = 0
	}
	atomic.StoreUint32(word(x.tx, x.off.tx.producer), uint32(len(frames)))
	done := word(x.completion, x.off.completion.producer)
	for deadline := time.Now().Add(xdpWait); atomic.LoadUint32(done) < uint32(len(frames)); {
		err := unix.Sendto(x.fd, nil, unix.MSG_DONTWAIT, nil)
		if err != nil && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOBUFS) {
			return fmt.Errorf("send: %w", err)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d frames sent within %v", atomic.LoadUint32(done), len(frames), xdpWait)
		}
	}
	return nil
}

func word(ring []byte, at uint64) *uint32 { return (*uint32)(unsafe.Pointer(&ring[at])) }

func (x *xdpSocket) close() error {
	errs := []error{unix.Close(x.fd)}
	for _, m := range [][]byte{x.tx, x.completion, x.umem} {
		if m != nil {
			errs = append(errs, unix.Munmap(m))
		}
	}
	return errors.Join(errs...)
}
