package guard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// headBytes is how much of each frame an examination looks at: Ethernet, a
// tag, IPv6 or IPv4 with options, UDP.
const headBytes = 128

// Watch implements prober. The card is told to take frames for other machines
// as well; that ends with the socket.
func (machine) Watch(ctx context.Context, index int, w wanted) (traffic, error) {
	file, err := openWatch(index)
	if err != nil {
		return traffic{}, fmt.Errorf("guard: watch interface %d: %w", index, err)
	}
	defer func() { _ = file.Close() }()
	raw, err := file.SyscallConn()
	if err != nil {
		return traffic{}, fmt.Errorf("guard: watch interface %d: %w", index, err)
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var seen traffic
	buf := make([]byte, headBytes)
	err = raw.Read(func(fd uintptr) bool {
		for ctx.Err() == nil {
			n, from, err := unix.Recvfrom(int(fd), buf, 0)
			if err != nil {
				return false // nothing there now, or the interface went down: wait for more or the end
			}
			at, ok := from.(*unix.SockaddrLinklayer)
			seen.take(buf[:n], ok && at.Pkttype == unix.PACKET_OTHERHOST, w)
		}
		return true
	})
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return seen, fmt.Errorf("guard: watch interface %d: %w", index, err)
	}
	return seen, nil
}

func openWatch(index int) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	heads, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: headBytes}})
	if err == nil {
		err = errors.Join(
			attach(fd, heads),
			unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1),
			unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC}),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everyProtocol, Ifindex: index}),
		)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "watch"), nil
}
