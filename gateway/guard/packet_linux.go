package guard

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// everyProtocol is ETH_P_ALL in network byte order. It taps frames before any
// ingress rule, so that such a rule may drop everything for the rest of the
// kernel.
const everyProtocol = uint16(unix.ETH_P_ALL)<<8 | uint16(unix.ETH_P_ALL)>>8

// openPacket opens a packet(7) socket on one interface. It belongs to no
// protocol until it is bound, so nothing enters before the filter stands.
func openPacket(index int, name string, filter []bpf.RawInstruction) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if errors.Is(err, unix.EPERM) {
		return nil, fmt.Errorf("packet socket: %w: Sluice needs CAP_NET_RAW to capture frames", err)
	}
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	if err := confine(fd, index, name, filter); err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "packet "+name), nil
}

func confine(fd, index int, name string, filter []bpf.RawInstruction) error {
	if err := attach(fd, filter); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	// Since Linux 4.20: what other programs of this node send stays out.
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return fmt.Errorf("PACKET_IGNORE_OUTGOING: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: everyProtocol, Ifindex: index}); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return boundTo(fd, index, name)
}

// boundTo reads back what a packet socket is bound to.
func boundTo(fd, index int, name string) error {
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("read back the interface: %w", err)
	}
	at, ok := bound.(*unix.SockaddrLinklayer)
	if !ok {
		return fmt.Errorf("read back the interface: %T", bound)
	}
	if at.Hatype != unix.ARPHRD_ETHER && at.Hatype != unix.ARPHRD_LOOPBACK {
		return fmt.Errorf("its frames are not those of Ethernet (type %d): use capture by socket", at.Hatype)
	}
	return compare(at.Ifindex, index, name)
}

// attach sets the filter for good: whoever gets the socket cannot widen it.
func attach(fd int, filter []bpf.RawInstruction) error {
	code := make([]unix.SockFilter, 0, len(filter))
	for _, i := range filter {
		code = append(code, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	fprog := unix.SockFprog{Len: uint16(len(code)), Filter: &code[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog); err != nil {
		return err
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_LOCK_FILTER, 1)
}
