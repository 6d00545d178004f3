package fence

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	// replyBuffer is the receive buffer of the socket in bytes. Ours: the
	// answers to the largest batch, some hundred rules, are 100 KiB.
	replyBuffer = 4 << 20
	// dumpTries bounds how often a list is read again because it changed
	// meanwhile (NLM_F_DUMP_INTR, netlink(7)). Ours.
	dumpTries = 8
)

// nfSocket is one NETLINK_NETFILTER socket. The kernel lets only the socket
// that made an owned table change it, and removes the table when the last
// descriptor of that socket is closed; so every message goes through this one,
// and a library that opens its own cannot be used.
//
// The kernel works on a request within send, so every answer is there when
// send returns: nothing here waits.
type nfSocket struct {
	file *os.File
	port uint32 // the socket's address; the table's owner
	seq  uint32
}

func dialNetfilter() (*nfSocket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	file := os.NewFile(uintptr(fd), "sluice table")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, errors.Join(fmt.Errorf("bind: %w", err), file.Close())
	}
	s, err := useNetfilter(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return s, nil
}

// useNetfilter continues on a socket that exists; it takes the file over when
// it returns no error.
func useNetfilter(file *os.File) (*nfSocket, error) {
	s := &nfSocket{file: file}
	return s, s.control(func(fd int) error {
		name, err := unix.Getsockname(fd)
		if err != nil {
			return fmt.Errorf("address: %w", err)
		}
		at, ok := name.(*unix.SockaddrNetlink)
		proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if !ok || err != nil || proto != unix.NETLINK_NETFILTER || at.Pid == 0 {
			return errors.New("the descriptor is no bound netfilter socket")
		}
		s.port = at.Pid
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, replyBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, replyBuffer) // as much as is allowed
		}
		return unix.SetNonblock(fd, true)
	})
}

func (s *nfSocket) control(f func(fd int) error) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// nfMessage is one request of the nf_tables subsystem, see
// linux/netfilter/nf_tables.h.
type nfMessage struct {
	kind   uint16 // NFT_MSG_…
	flags  netlink.HeaderFlags
	family uint8 // NFPROTO_…
	attrs  []byte
}

// batch carries out all messages or none of them.
func (s *nfSocket) batch(messages ...nfMessage) error {
	edge := func(kind uint16) []byte {
		return s.encode(netlink.HeaderType(kind), netlink.Request, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil)
	}
	out := edge(unix.NFNL_MSG_BATCH_BEGIN)
	for _, m := range messages {
		out = append(out, s.encode(nfType(m.kind), netlink.Request|netlink.Acknowledge|m.flags, m.family, 0, m.attrs)...)
	}
	last := s.seq
	out = append(out, edge(unix.NFNL_MSG_BATCH_END)...)
	done := false
	err := s.exchange(out, func(m netlink.Message) error {
		if m.Header.Type != netlink.Error {
			return nil
		}
		done = done || m.Header.Sequence == last
		return ackError(m.Data)
	})
	if err == nil && !done {
		return errors.New("the kernel gave no answer")
	}
	return err
}

// dump lists what a request of the kind get names. Each message is passed to
// take as attributes.
func (s *nfSocket) dump(kind uint16, family uint8, attrs []byte, take func(family uint8, attrs []byte) error) error {
	for range dumpTries {
		again, err := s.dumpOnce(kind, family, attrs, take)
		if err != nil || !again {
			return err
		}
	}
	return errors.New("the list kept changing while it was read")
}

func (s *nfSocket) dumpOnce(kind uint16, family uint8, attrs []byte, take func(uint8, []byte) error) (again bool, err error) {
	out := s.encode(nfType(kind), netlink.Request|netlink.Dump, family, 0, attrs)
	err = s.exchange(out, func(m netlink.Message) error {
		again = again || m.Header.Flags&netlink.DumpInterrupted != 0
		switch {
		case m.Header.Type == netlink.Error:
			return ackError(m.Data)
		case m.Header.Type == netlink.Done || len(m.Data) < nfHeader:
			return nil
		}
		return take(m.Data[0], m.Data[nfHeader:])
	})
	return again, err
}

// nfHeader is the size of struct nfgenmsg in bytes.
const nfHeader = 4

func nfType(kind uint16) netlink.HeaderType {
	return netlink.HeaderType(unix.NFNL_SUBSYS_NFTABLES<<8 | kind)
}

func (s *nfSocket) encode(kind netlink.HeaderType, flags netlink.HeaderFlags, family uint8, resource uint16, attrs []byte) []byte {
	s.seq++
	length := unix.NLMSG_HDRLEN + nfHeader + len(attrs)
	b := make([]byte, 0, length)
	b = binary.NativeEndian.AppendUint32(b, uint32(length))
	b = binary.NativeEndian.AppendUint16(b, uint16(kind))
	b = binary.NativeEndian.AppendUint16(b, uint16(flags))
	b = binary.NativeEndian.AppendUint32(b, s.seq)
	b = binary.NativeEndian.AppendUint32(b, 0)
	b = append(b, family, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, resource)
	return append(b, attrs...) // attributes are padded to 4 bytes already
}

// exchange sends and passes every answer to take. All are read also when take
// returns an error, so that none is left for the next exchange; the first
// error counts.
func (s *nfSocket) exchange(out []byte, take func(netlink.Message) error) error {
	return s.control(func(fd int) error {
		first := s.seq
		if err := unix.Sendto(fd, out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		var failed error
		buf := make([]byte, 64<<10) // a part of a list has at most 32 KiB (NLMSG_GOODSIZE)
		for {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			if errors.Is(err, unix.EAGAIN) {
				return failed
			}
			if errors.Is(err, unix.EINTR) {
				continue
			}
			if err != nil {
				return errors.Join(failed, fmt.Errorf("receive: %w", err))
			}
			err = eachMessage(buf[:n], func(m netlink.Message) error {
				if int32(m.Header.Sequence-first) < -maxBatch {
					return nil // left over from another process that held the socket
				}
				return take(m)
			})
			if failed == nil {
				failed = err
			}
		}
	})
}

// maxBatch bounds the messages of one batch: 8 rules each for a thousand
// interfaces. Ours.
const maxBatch = 8192

// eachMessage splits what one receive returned.
func eachMessage(b []byte, take func(netlink.Message) error) error {
	for len(b) >= unix.NLMSG_HDRLEN {
		length := int(binary.NativeEndian.Uint32(b))
		if length < unix.NLMSG_HDRLEN || length > len(b) {
			return fmt.Errorf("message of %d bytes in %d", length, len(b))
		}
		m := netlink.Message{
			Header: netlink.Header{
				Length:   uint32(length),
				Type:     netlink.HeaderType(binary.NativeEndian.Uint16(b[4:])),
				Flags:    netlink.HeaderFlags(binary.NativeEndian.Uint16(b[6:])),
				Sequence: binary.NativeEndian.Uint32(b[8:]),
			},
			Data: b[unix.NLMSG_HDRLEN:length],
		}
		if err := take(m); err != nil {
			return err
		}
		b = b[min((length+3)&^3, len(b)):]
	}
	return nil
}

// ackError decodes the body of NLMSG_ERROR; 0 is an acknowledgement.
func ackError(b []byte) error {
	if len(b) < 4 {
		return errors.New("short answer")
	}
	if code := int32(binary.NativeEndian.Uint32(b)); code != 0 {
		return unix.Errno(-code)
	}
	return nil
}
