package relay

import (
	"context"
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/sdk/control"
)

// All ours.
const (
	batchSize    = 64                     // datagrams per recvmmsg(2); the memory of unused slots is never touched
	slotBytes    = control.MaxDatagram    // so that none is ever cut
	controlBytes = 128                    // packet information, time and drop count take 88
	linger       = 200 * time.Microsecond // waited for a frame to fill while datagrams come fast
	fast         = time.Millisecond       // since the last frame: slower ones are passed on at once
)

// datagrams reads one UDP socket into frames, without allocating for each datagram.
//
//	recvmmsg ─► slots ─► check interface, address ─► frame of up to control.MaxFrame bytes ─► feed
//
// What does not fit a frame stays in the slots for the next one.
type datagrams struct {
	relay *Relay
	sock  *guard.PacketSocket
	raw   syscall.RawConn
	try   func(fd uintptr) bool // receives once; false = nothing there
	drain func(fd uintptr) bool // the same, but never waits
	timer *time.Timer

	slots    slots
	got      int // slots filled
	next     int // first slot that is not in a frame yet
	err      error
	overflow uint32 // the kernel's count of drops as last seen
	last     time.Time

	frame []byte
	count uint64 // datagrams in frame
	bytes uint64 // their payload
}

// slots is what recvmmsg fills. It lies in one allocation, so that the kernel's pointers stay good.
type slots struct {
	msgs    [batchSize]message
	vecs    [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6 // large enough for both families
	control [batchSize][controlBytes]byte
	payload []byte
}

// message is struct mmsghdr (recvmmsg(2)).
type message struct {
	head unix.Msghdr
	size uint32
}

func newDatagrams(r *Relay, sock *guard.PacketSocket) (*datagrams, error) {
	raw, err := sock.Conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	d := &datagrams{relay: r, sock: sock, raw: raw, timer: time.NewTimer(time.Hour), frame: make([]byte, 0, control.MaxFrame)}
	d.timer.Stop()
	d.try = d.receive
	d.drain = func(fd uintptr) bool { d.receive(fd); return true }
	d.slots.payload = make([]byte, batchSize*slotBytes)
	for i := range batchSize {
		d.slots.vecs[i].Base = &d.slots.payload[i*slotBytes]
		d.slots.vecs[i].SetLen(slotBytes)
		h := &d.slots.msgs[i].head
		h.Name = (*byte)(unsafe.Pointer(&d.slots.names[i])) //nolint:gosec // recvmmsg(2) wants it so
		h.Iov, h.Control = &d.slots.vecs[i], &d.slots.control[i][0]
		h.SetIovlen(1)
	}
	d.clear()
	return d, nil
}

// clear begins a new frame.
func (d *datagrams) clear() {
	d.frame, d.count, d.bytes = d.frame[:control.FrameHeader], 0, 0
}

// giveUp counts what was read from the socket and will not be handed to anybody.
func (d *datagrams) giveUp() {
	if left := d.count + uint64(d.got-d.next); left > 0 {
		d.relay.refused.add(DroppedClosing, left, "interface", d.sock.Interface)
	}
}

// fill blocks until the frame holds datagrams. It returns at once when it holds some from before.
func (d *datagrams) fill(ctx context.Context) error {
	for d.count == 0 {
		if d.next == d.got {
			if err := d.wait(ctx); err != nil {
				return err
			}
		}
		if d.pack() {
			d.top(ctx)
		}
	}
	control.PutLength(d.frame)
	d.last = time.Now()
	return nil
}

// wait receives a first batch.
func (d *datagrams) wait(ctx context.Context) error {
	if err := d.sock.Wait(ctx); err != nil {
		return err
	}
	if err := d.raw.Read(d.try); err != nil {
		return err
	}
	return d.err
}

// top adds what comes within a moment, while datagrams come fast and there is room.
func (d *datagrams) top(ctx context.Context) {
	if d.got < batchSize && time.Since(d.last) < fast {
		d.timer.Reset(linger)
		select {
		case <-d.timer.C:
		case <-ctx.Done():
			d.timer.Stop()
			return
		}
	}
	for {
		if d.raw.Read(d.drain) != nil || d.err != nil || d.got == 0 || !d.pack() {
			return
		}
	}
}

// receive fills the slots with what the socket has (recvmmsg(2)).
func (d *datagrams) receive(fd uintptr) bool {
	d.got, d.next, d.err = 0, 0, nil
	for i := range d.slots.msgs {
		h := &d.slots.msgs[i].head
		h.Namelen, h.Flags = unix.SizeofSockaddrInet6, 0
		h.SetControllen(controlBytes)
	}
	for {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&d.slots.msgs[0])), //nolint:gosec // see message
			batchSize, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			d.got = int(n)
			return true
		case unix.EINTR:
		case unix.EAGAIN:
			return false
		default:
			d.err = errno
			return true
		}
	}
}

// pack moves datagrams from the slots to the frame. It tells whether there is room for more.
func (d *datagrams) pack() bool {
	var foreign, strangers uint64
	defer func() { d.dropped(foreign, strangers) }()
	now := time.Now().UnixNano()
	for ; d.next < d.got; d.next++ {
		m := &d.slots.msgs[d.next]
		size := int(m.size)
		if len(d.frame)+size+control.DatagramOverhead > control.MaxFrame {
			return false
		}
		remote := remoteOf(&d.slots.names[d.next])
		index, at := d.ancillary(d.slots.control[d.next][:min(controlLen(&m.head), controlBytes)])
		if at == 0 {
			at = now
		}
		if d.sock.Index != 0 && index != d.sock.Index {
			foreign++
			continue
		}
		if !d.relay.allowed(remote.Addr()) {
			strangers++
			continue
		}
		payload := d.slots.payload[d.next*slotBytes:][:size]
		d.frame = control.AppendDatagram(d.frame, remote, at, payload)
		d.count++
		d.bytes += uint64(size)
	}
	return len(d.frame) < control.MaxFrame/2
}

func (d *datagrams) dropped(foreign, strangers uint64) {
	if foreign > 0 {
		d.relay.refused.add(DroppedInterface, foreign, "interface", d.sock.Interface)
	}
	if strangers > 0 {
		d.relay.refused.add(DroppedAllowFrom, strangers, "interface", d.sock.Interface)
	}
}

// ancillary reads what the kernel tells of a datagram: the interface that it came by (ip(7) IP_PKTINFO, RFC 3542
// section 6.1), when (socket(7) SO_TIMESTAMPNS) and how many were dropped before it (SO_RXQ_OVFL). Zero is unknown.
func (d *datagrams) ancillary(b []byte) (index int, unixNano int64) {
	for len(b) >= unix.SizeofCmsghdr {
		head, data, rest, err := unix.ParseOneSocketControlMessage(b)
		if err != nil {
			return index, unixNano
		}
		switch {
		case head.Level == unix.IPPROTO_IP && head.Type == unix.IP_PKTINFO && len(data) >= 12:
			index = int(binary.NativeEndian.Uint32(data))
		case head.Level == unix.IPPROTO_IPV6 && head.Type == unix.IPV6_PKTINFO && len(data) >= 20:
			index = int(binary.NativeEndian.Uint32(data[16:]))
		case head.Level == unix.SOL_SOCKET && head.Type == unix.SO_TIMESTAMPNS && len(data) >= 16:
			seconds := int64(binary.NativeEndian.Uint64(data))
			unixNano = seconds*1e9 + int64(binary.NativeEndian.Uint64(data[8:]))
		case head.Level == unix.SOL_SOCKET && head.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			d.drops(binary.NativeEndian.Uint32(data))
		}
		b = rest
	}
	return index, unixNano
}

// drops takes in the kernel's count, which wraps around.
func (d *datagrams) drops(total uint32) {
	if n := total - d.overflow; n > 0 && n < 1<<31 {
		d.relay.counts.kernelDrops.Add(uint64(n))
		d.overflow = total
	}
}

func controlLen(h *unix.Msghdr) int { return int(h.Controllen) }

func remoteOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET6 {
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr).Unmap(), networkOrder(name.Port))
	}
	four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name)) //nolint:gosec // the smaller of the two layouts
	return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), networkOrder(four.Port))
}

// networkOrder reads a port that the kernel wrote in network byte order.
func networkOrder(port uint16) uint16 {
	var b [2]byte
	binary.NativeEndian.PutUint16(b[:], port)
	return binary.BigEndian.Uint16(b[:])
}
