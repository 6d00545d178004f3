package matrix_test

import (
	"errors"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// sendBound sends n datagrams to each address by a socket that SO_BINDTODEVICE
// binds to the interface. What the kernel refuses is not sent.
func sendBound(iface string, n int, to ...netip.AddrPort) error {
	return each(to, func(fd int, a unix.Sockaddr) error {
		err := errors.Join(unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, iface),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		for range n {
			_ = unix.Sendto(fd, []byte("stimulus"), 0, a)
		}
		return err
	}, iface)
}

// sendChosen sends by an unbound socket that chooses the interface per
// datagram (IP_PKTINFO, ip(7)).
func sendChosen(iface string, n int, to ...netip.AddrPort) error {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	return each(to, func(fd int, a unix.Sockaddr) error {
		oob := unix.PktInfo4(&unix.Inet4Pktinfo{Ifindex: int32(ifi.Index)})
		if _, six := a.(*unix.SockaddrInet6); six {
			oob = unix.PktInfo6(&unix.Inet6Pktinfo{Ifindex: uint32(ifi.Index)})
		}
		for range n {
			_ = unix.Sendmsg(fd, []byte("stimulus"), oob, a, 0)
		}
		return nil
	}, iface)
}

// each opens a socket for each address, lets f use it, and closes it.
func each(to []netip.AddrPort, f func(fd int, a unix.Sockaddr) error, iface string) error {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	for _, at := range to {
		family, a := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16(), ZoneId: uint32(ifi.Index)})
		if at.Addr().Is4() {
			family, a = unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}
		}
		fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		if err := errors.Join(f(fd, a), unix.Close(fd)); err != nil {
			return err
		}
	}
	return nil
}

// join joins both groups on the interface; the returned function leaves them.
func join(iface string) (leave func(), err error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, err
	}
	four, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	six, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, errors.Join(err, unix.Close(four))
	}
	leave = func() { _, _ = unix.Close(four), unix.Close(six) }
	if err := unix.SetsockoptIPMreqn(four, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP,
		&unix.IPMreqn{Multiaddr: group().As4(), Ifindex: int32(ifi.Index)}); err != nil {
		leave()
		return nil, err
	}
	// Refused where IPv6 is off on the interface: the other group remains.
	_ = unix.SetsockoptIPv6Mreq(six, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP,
		&unix.IPv6Mreq{Multiaddr: group6().As16(), Interface: uint32(ifi.Index)})
	return leave, nil
}
