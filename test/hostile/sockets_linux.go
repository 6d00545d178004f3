package hostile

import (
	"errors"
	"net"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socketAttacks try to get a socket that reaches anything but the gateway.
func socketAttacks() []Attack {
	return []Attack{
		{Name: "socket/inet-stream", Want: refused(), try: opening(unix.AF_INET, unix.SOCK_STREAM, 0)},
		{Name: "socket/inet-datagram", Want: refused(), try: opening(unix.AF_INET, unix.SOCK_DGRAM, 0)},
		{Name: "socket/inet-raw", Want: refused(), Needs: Namespace, try: opening(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP)},
		{Name: "socket/inet-ping", Want: refused(), try: opening(unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP)},
		{Name: "socket/inet6-stream", Want: refused(), try: opening(unix.AF_INET6, unix.SOCK_STREAM, 0)},
		{Name: "socket/inet6-datagram", Want: refused(), try: opening(unix.AF_INET6, unix.SOCK_DGRAM, 0)},
		{Name: "socket/mptcp", Want: refused(), try: opening(unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP)},
		{Name: "socket/packet", Want: refused(), Needs: Namespace, try: opening(unix.AF_PACKET, unix.SOCK_RAW, 0x0300)}, // ETH_P_ALL in network order
		{Name: "socket/xdp", Want: refused(), Needs: Namespace, try: opening(unix.AF_XDP, unix.SOCK_RAW, 0)},
		{Name: "socket/netlink-route", Want: refused(), try: opening(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_ROUTE)},
		{Name: "socket/netlink-netfilter", Want: refused(), try: opening(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER)},
		{Name: "socket/vsock", Want: refused(), try: opening(unix.AF_VSOCK, unix.SOCK_STREAM, 0)},
		{Name: "socket/alg", Want: refused(), try: opening(unix.AF_ALG, unix.SOCK_SEQPACKET, 0)},
		{Name: "socket/any-family", Want: refused(), try: anyFamily},
		{Name: "socket/pair-of-another-family", Want: refused(), try: strangePair},
		{Name: "socket/list-interfaces", Want: refused(), try: listInterfaces},
		{Name: "socket/interfaces-by-ioctl", Want: refused(), try: interfacesByIoctl},
		{Name: "socket/namespace-of-control", Want: refused(), Needs: Root, try: namespaceOfControl},
		{Name: "socket/option-of-ip", Want: refused(), try: optionOfIP},
	}
}

func opening(family, kind, protocol int) func(Place) error {
	return func(Place) error {
		fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, protocol)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
}

// anyFamily tries every address family but AF_UNIX; the error is that of the first that is not refused.
func anyFamily(Place) error {
	for family := range 64 {
		if family == unix.AF_UNIX {
			continue
		}
		for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
			fd, err := unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
			if err == nil {
				_ = unix.Close(fd)
			}
			if !errors.Is(err, unix.EPERM) {
				return err
			}
		}
	}
	return unix.EPERM
}

// strangePair tries socketpair(2), which TIPC and others know as well.
func strangePair(Place) error {
	var first error
	for _, family := range []int{unix.AF_INET, unix.AF_TIPC, unix.AF_VSOCK, unix.AF_NETLINK, unix.AF_QIPCRTR} {
		fds, err := unix.Socketpair(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err == nil {
			_ = unix.Close(fds[0])
			_ = unix.Close(fds[1])
			return nil
		}
		if first == nil || !errors.Is(err, unix.EPERM) {
			first = err
		}
	}
	return first
}

func listInterfaces(Place) error {
	_, err := net.Interfaces()
	return err
}

// ours makes a unix socket. Where not even that is allowed the attack ends there.
func ours(kind int, use func(fd int) error) error {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is sent
	return use(fd)
}

// interfacesByIoctl asks a unix socket, which answers for its network namespace (netdevice(7)).
func interfacesByIoctl(Place) error {
	return ours(unix.SOCK_DGRAM, func(fd int) error {
		var conf struct {
			length int32
			_      int32
			buffer *byte
		}
		_, err := call(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFCONF, uintptr(unsafe.Pointer(&conf)))
		return err
	})
}

// namespaceOfControl asks a socket that the core has made for the core's network namespace (ioctl_ns(2)).
func namespaceOfControl(Place) error {
	control, err := controlSocket()
	if err != nil {
		return err
	}
	fd, err := call(unix.SYS_IOCTL, control, unix.SIOCGSKNS)
	if err == nil {
		_ = unix.Close(int(fd))
	}
	return err
}

// optionOfIP sets an option beyond SOL_SOCKET: without a filter the socket says that it has none.
func optionOfIP(Place) error {
	return ours(unix.SOCK_STREAM, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, 1) })
}
