package relay

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/sdk/control"
)

// sender sends a plugin's datagrams through one connected UDP socket and answers each request with what the kernel
// took and the socket's error.
//
// It makes one call per datagram. sendmmsg(2) would hide errors: when it has sent some datagrams it returns their
// number, and an ECONNREFUSED that it met behind them is gone. A sink that holds on such errors would lose data.
type sender struct {
	relay  *Relay
	plugin *net.UnixConn
	socket *net.UDPConn
	raw    syscall.RawConn
	send   func(fd uintptr) bool

	frame []byte // request
	rest  []byte // of it, payloads not yet sent
	taken uint32
	bytes uint64
	errno syscall.Errno
	bad   error // the request is malformed
}

func newSender(r *Relay, plugin *net.UnixConn, socket *net.UDPConn) (*sender, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	s := &sender{relay: r, plugin: plugin, socket: socket, raw: raw}
	s.send = s.step
	return s, nil
}

// run serves requests until the plugin closes its end or ctx ends, and closes both sockets.
func (s *sender) run(ctx context.Context) {
	defer s.socket.Close() //nolint:errcheck // datagrams are not buffered
	defer s.plugin.Close() //nolint:errcheck // likewise
	defer context.AfterFunc(ctx, func() {
		_ = s.plugin.Close()
		_ = s.socket.Close()
	})()
	for {
		err := s.serve()
		if err == nil {
			continue
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && ctx.Err() == nil {
			s.relay.log.Warn("datagram sender ended", "target", s.socket.RemoteAddr().String(), "error", err)
		}
		return
	}
}

// serve answers one request.
func (s *sender) serve() error {
	var head [control.FrameHeader]byte
	if _, err := io.ReadFull(s.plugin, head[:]); err != nil {
		return err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > control.MaxFrame-control.FrameHeader {
		return fmt.Errorf("%w: %d bytes, the limit is %d", control.ErrFrame, n, control.MaxFrame)
	}
	if cap(s.frame) < int(n) {
		s.frame = make([]byte, n, max(n, 4<<10))
	}
	s.frame = s.frame[:n]
	if _, err := io.ReadFull(s.plugin, s.frame); err != nil {
		return err
	}
	if err := s.transmit(); err != nil {
		return err
	}
	var answer [control.AnswerBytes]byte
	_, err := s.plugin.Write(control.Answer{Taken: s.taken, Errno: s.errno}.Append(answer[:0]))
	return err
}

// transmit sends the request's payloads up to the first error. An empty request asks for a pending error.
func (s *sender) transmit() error {
	s.rest, s.taken, s.bytes, s.errno, s.bad = s.frame, 0, 0, 0, nil
	if len(s.rest) == 0 {
		return s.pending()
	}
	if err := s.raw.Write(s.send); err != nil {
		return err
	}
	s.relay.counts.datagramsOut.Add(uint64(s.taken))
	s.relay.counts.bytesOut.Add(s.bytes)
	return s.bad
}

// step sends until all is sent, an error comes or the socket is full, in which case it is called again when it is not.
func (s *sender) step(fd uintptr) bool {
	for len(s.rest) > 0 {
		payload, rest, err := control.NextPayload(s.rest)
		if err != nil {
			s.bad = err
			return true
		}
		err = unix.Send(int(fd), payload, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
		switch {
		case err == nil:
			s.rest = rest
			s.taken++
			s.bytes += uint64(len(payload))
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return false
		default:
			if !errors.As(err, &s.errno) {
				s.errno = unix.EIO
			}
			return true
		}
	}
	return true
}

// pending fetches and clears the socket's error (socket(7), SO_ERROR).
func (s *sender) pending() error {
	var value int
	var err error
	if cerr := s.raw.Control(func(fd uintptr) {
		value, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
	}); cerr != nil {
		return cerr
	}
	s.errno = syscall.Errno(value)
	return err
}
