package capture

import (
	"encoding/binary"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Offsets in bytes, from linux/if_packet.h: struct tpacket_block_desc with
// tpacket_hdr_v1, struct tpacket3_hdr, struct sockaddr_ll.
const (
	offBlockStatus = 8
	offBlockCount  = 12
	offBlockFirst  = 16

	offNext    = 0
	offSnaplen = 12
	offLen     = 16
	offStatus  = 20
	offMac     = 24
	offSockll  = unix.SizeofTpacket3Hdr // TPACKET_ALIGN of it
	offPkttype = offSockll + 10
	headBytes  = offSockll + unix.SizeofSockaddrLinklayer
)

// Offsets in struct virtio_net_hdr of linux/virtio_net.h, which stands right
// before a frame, in the machine's own byte order.
const (
	vnetBytes  = 10
	offGSOType = 1
	offGSOSize = 4
	gsoNone    = 0
	gsoUDP     = 5    // VIRTIO_NET_HDR_GSO_UDP_L4, told since Linux 6.3
	gsoECN     = 0x80 // VIRTIO_NET_HDR_GSO_ECN, a flag
)

// block is one block of the ring, as it lies in shared memory.
type block []byte

// status must be read before anything else of the block, and written after.
func (b block) status() *uint32 {
	return (*uint32)(unsafe.Pointer(&b[offBlockStatus])) //nolint:gosec // G103: the word is shared with the kernel
}

func (b block) ready() bool { return atomic.LoadUint32(b.status())&unix.TP_STATUS_USER != 0 }

func (b block) release() { atomic.StoreUint32(b.status(), unix.TP_STATUS_KERNEL) }

func (b block) word(off int) int { return int(binary.NativeEndian.Uint32(b[off:])) }

// captured is one frame in a block.
type captured struct {
	data    []byte
	segment int  // bytes of each datagram when the kernel merged several; 0 = one
	summed  bool // the UDP checksum is right, or not there yet
	other   bool // sent to the hardware address of another machine
	whole   bool
}

// frame reads the frame whose header is at off, and returns where the next
// one is. ok is false when the block contradicts itself, which ends it.
func (b block) frame(off, vnet int) (f captured, next int, ok bool) {
	if off < 0 || off+headBytes > len(b) {
		return captured{}, 0, false
	}
	head := b[off:]
	size, status := head.word(offSnaplen), head.word(offStatus)
	start := int(binary.NativeEndian.Uint16(head[offMac:]))
	if start < headBytes+vnet || start+size > len(head) {
		return captured{}, 0, false
	}
	f = captured{
		data:   head[start : start+size],
		summed: status&(unix.TP_STATUS_CSUMNOTREADY|unix.TP_STATUS_CSUM_VALID) != 0,
		other:  head[offPkttype] == unix.PACKET_OTHERHOST,
		whole:  size == head.word(offLen),
	}
	if vnet > 0 {
		f.merged(head[start-vnet : start])
	}
	return f, off + head.word(offNext), true
}

// merged reads what the kernel says of a frame that holds several datagrams.
func (f *captured) merged(vnet []byte) {
	switch vnet[offGSOType] &^ gsoECN {
	case gsoNone:
	case gsoUDP:
		f.segment = int(binary.NativeEndian.Uint16(vnet[offGSOSize:]))
	default:
		f.whole = false // not UDP, or in a way that cannot be cut again
	}
}
