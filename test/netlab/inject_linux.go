package netlab

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// Inject sends whole frames by one interface of the namespace through a packet
// socket (packet(7)); with bypass they go past the queueing discipline
// (PACKET_QDISC_BYPASS). An error of the last kind may be the drop that is
// tested: the frames that the kernel refused are only counted.
func (n *Namespace) Inject(iface string, bypass bool, frames ...[]byte) (refused int, err error) {
	err = n.Do(func() error {
		fd, to, err := injector(iface, bypass)
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		for _, f := range frames {
			if unix.Sendto(fd, f, 0, to) != nil {
				refused++
			}
		}
		return nil
	})
	return refused, err
}

func injector(iface string, bypass bool) (int, *unix.SockaddrLinklayer, error) {
	ifi, err := net.InterfaceByName(iface)
	if err != nil {
		return -1, nil, fmt.Errorf("netlab: inject by %s: %w", iface, err)
	}
	// Protocol 0: the socket receives nothing.
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, nil, fmt.Errorf("netlab: inject: %w", err)
	}
	if bypass {
		if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return -1, nil, errors.Join(fmt.Errorf("netlab: inject: PACKET_QDISC_BYPASS: %w", err), unix.Close(fd))
		}
	}
	return fd, &unix.SockaddrLinklayer{Ifindex: ifi.Index, Halen: 6}, nil
}
