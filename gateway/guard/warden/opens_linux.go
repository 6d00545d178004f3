package warden

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/internal/privilege"
)

// opener opens sockets with CAP_NET_RAW raised for that moment.
type opener struct{}

// Packet implements opens.
func (opener) Packet(q guard.PacketQuery) (*os.File, error) {
	return raised(func() (*os.File, error) { return guard.OpenPacket(q) })
}

// Look implements opens.
func (opener) Look(index int, name string) (*os.File, error) {
	return raised(func() (*os.File, error) { return guard.OpenLook(index, name) })
}

func raised(open func() (*os.File, error)) (file *os.File, err error) {
	err = privilege.With(privilege.NetRaw, func() error {
		file, err = open()
		return err
	})
	return file, err
}

// Grow implements opens (SO_RCVBUFFORCE, socket(7)).
func (opener) Grow(socket *os.File, bytes int) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return fmt.Errorf("guard: warden: receive buffer: %w", err)
	}
	var set error
	err = raw.Control(func(fd uintptr) {
		set = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes)
	})
	if err := errors.Join(err, set); err != nil {
		return fmt.Errorf("guard: warden: receive buffer of %d bytes: %w", bytes, err)
	}
	return nil
}

// kernelLinks are the interfaces of this network namespace.
type kernelLinks struct{}

// Up implements interfaces.
func (kernelLinks) Up(index int) error {
	link, err := netlink.LinkByIndex(index)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("guard: warden: set interface %d up: %w", index, err)
	}
	return nil
}

// Sent implements interfaces.
func (kernelLinks) Sent(index int) (uint64, error) {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return 0, fmt.Errorf("guard: warden: interface %d: %w", index, err)
	}
	if s := link.Attrs().Statistics; s != nil {
		return s.TxPackets, nil
	}
	return 0, fmt.Errorf("guard: warden: interface %d tells no counters", index)
}

// experimental is an EtherType that no protocol uses (IEEE 802).
const experimental = 0x88b5

// Probe implements prober.
func (opener) Probe(index, frames int) error {
	link, err := netlink.LinkByIndex(index)
	if err != nil {
		return fmt.Errorf("guard: warden: probe: %w", err)
	}
	frame := make([]byte, 60) // the shortest of Ethernet
	copy(frame, link.Attrs().HardwareAddr)
	copy(frame[6:], link.Attrs().HardwareAddr)
	binary.BigEndian.PutUint16(frame[12:], experimental)
	err = privilege.With(privilege.NetRaw, func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // protocol 0: it receives nothing
		if err != nil {
			return err
		}
		defer func() { _ = unix.Close(fd) }()
		for range frames {
			err := unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: index})
			if err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: it was dropped, as it must be
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("guard: warden: probe %s: %w", link.Attrs().Name, err)
	}
	return nil
}
