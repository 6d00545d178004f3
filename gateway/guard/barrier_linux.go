package guard

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// probe finds out how this kernel lets this process tie a socket to an
// interface, and whether it has IPv6. A socket that is not yet bound to a
// device may be bound without any privilege (Linux 5.7, commit c427bfec18f2).
func probe() (barrier, bool, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return byAddress, false, fmt.Errorf("guard: open a socket to probe with: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	return probeBarrier(fd), hasIPv6(), nil
}

func probeBarrier(fd int) barrier {
	ifaces, err := net.Interfaces()
	if err != nil || len(ifaces) == 0 {
		return byIndex // nothing to try with; a refusal would be seen at the first bind
	}
	first := ifaces[0]
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, first.Index) == nil {
		return byIndex
	}
	if unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, first.Name) == nil {
		return byDevice
	}
	return byAddress
}

func hasIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false
	}
	_ = unix.Close(fd)
	return true
}

// tie binds a socket that is not yet bound to an address to the interface,
// reads the binding back and compares index and name.
func (b barrier) tie(raw syscall.RawConn, index int, name string) error {
	if b == byAddress {
		return nil
	}
	return control(raw, func(fd int) error {
		if err := b.bind(fd, index, name); err != nil {
			return fmt.Errorf("guard: bind to interface %s: %w", name, err)
		}
		bound, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
		if b == byDevice && errors.Is(err, unix.ENOPROTOOPT) {
			bound, err = index, nil // before Linux 5.0 the name, compared below, is all there is
		}
		if err != nil {
			return fmt.Errorf("guard: read back the interface of a socket: %w", err)
		}
		return compare(bound, index, name)
	})
}

func (b barrier) bind(fd, index int, name string) error {
	if b == byDevice {
		return unix.SetsockoptString(fd, unix.SOL_SOCKET, unix.SO_BINDTODEVICE, name)
	}
	return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX, index)
}

func compare(bound, index int, name string) error {
	now, err := net.InterfaceByIndex(bound)
	if err != nil {
		return fmt.Errorf("guard: interface %d (%s) after binding: %w", bound, name, err)
	}
	if bound != index || now.Name != name {
		return fmt.Errorf("guard: socket is on interface %d %q, not on %d %q: it changed in between", bound, now.Name, index, name)
	}
	return nil
}

// datagramOptions asks the kernel for the count of datagrams it dropped
// (SO_RXQ_OVFL), the interface each came by (IP_PKTINFO, ip(7);
// IPV6_RECVPKTINFO, RFC 3542 section 6.1) and its receive time
// (SO_TIMESTAMPNS), all socket(7). They arrive as control messages.
func datagramOptions(raw syscall.RawConn, ipv6 bool) error {
	return control(raw, func(fd int) error {
		for _, o := range []struct {
			name         string
			level, value int
		}{
			{"SO_RXQ_OVFL", unix.SOL_SOCKET, unix.SO_RXQ_OVFL},
			{"SO_TIMESTAMPNS", unix.SOL_SOCKET, unix.SO_TIMESTAMPNS},
		} {
			if err := unix.SetsockoptInt(fd, o.level, o.value, 1); err != nil {
				return fmt.Errorf("guard: %s: %w", o.name, err)
			}
		}
		level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
		if ipv6 {
			level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
		}
		if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
			return fmt.Errorf("guard: packet information: %w", err)
		}
		return nil
	})
}

// growReceiveBuffer asks for a receive buffer of the given bytes, beyond
// net.core.rmem_max when privileged, and returns what was granted.
func growReceiveBuffer(raw syscall.RawConn, bytes int) (granted int, err error) {
	err = control(raw, func(fd int) error {
		if bytes > 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, bytes); err != nil {
				return fmt.Errorf("guard: receive buffer of %d bytes: %w", bytes, err)
			}
		}
		doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
		granted = doubled / 2 // socket(7): the kernel doubles the value for its own bookkeeping
		return err
	})
	return granted, err
}

func control(raw syscall.RawConn, f func(fd int) error) error {
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}
