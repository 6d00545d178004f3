package guard

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// OpenPacket opens the packet socket that DiodeCapture describes: the filter
// is set before the socket is bound, and locked; the interface is read back
// and compared by index and name. It takes CAP_NET_RAW on the calling thread,
// and judges no role: whoever calls it does. The file is in non-blocking mode.
func OpenPacket(q PacketQuery) (*os.File, error) {
	program, err := captureFilter(q.Source, q.Listen)
	if err != nil {
		return nil, fmt.Errorf("guard: diode capture on %s: %w", q.Name, err)
	}
	file, err := openPacket(q.Index, q.Name, program)
	if err != nil {
		return nil, fmt.Errorf("guard: diode capture on interface %s: %w", q.Name, err)
	}
	return file, nil
}

// OpenLook opens a packet socket that sees the first bytes of each frame that
// arrives at an interface, those for other machines included: as long as it is
// open the interface is in promiscuous mode (packet(7)). What this machine
// sends is not among them. Privilege and mode are those of OpenPacket.
func OpenLook(index int, name string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("guard: look at interface %s: %w", name, err)
	}
	heads, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: headBytes}})
	if err == nil {
		err = confine(fd, index, name, heads)
	}
	if err == nil {
		err = unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &unix.PacketMreq{Ifindex: int32(index), Type: unix.PACKET_MR_PROMISC})
	}
	if err != nil {
		return nil, fmt.Errorf("guard: look at interface %s: %w", name, errors.Join(err, unix.Close(fd)))
	}
	return os.NewFile(uintptr(fd), "look "+name), nil
}

// checkPacket compares what a packet socket that somebody else opened is bound
// to with what was asked for.
func checkPacket(file *os.File, index int, name string) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw, func(fd int) error { return boundTo(fd, index, name) })
}
