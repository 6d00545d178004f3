package control

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	gproto "google.golang.org/protobuf/proto"

	"github.com/sluice-gateway/sluice/sdk/proto"
)

// Descriptor is the number under which a plugin inherits its end of the control socket (ours: the first after stdio).
const Descriptor = 3

// maxMessage bounds one packet: addresses and names only (ours).
const maxMessage = 4096

// maxFiles is how many descriptors of one message are looked at; the contract has one, and the kernel closes any more.
const maxFiles = 4

// Sentinels of Send and Receive.
var (
	// ErrBusy says that the other side did not read in time. The message was not sent.
	ErrBusy = errors.New("control: the other side does not read")
	// ErrTruncated says that the kernel could not hand over a descriptor, usually because the process is at its limit
	// of open files (recvmsg(2), MSG_CTRUNC).
	ErrTruncated = errors.New("control: descriptor lost, limit of open files reached?")
)

// Socket is one end of a control socket. Send may be called concurrently, Receive by one goroutine at a time.
type Socket struct {
	conn *net.UnixConn
	mu   sync.Mutex // serialises Send, whose write deadline is shared
}

// Pair makes a control socket: the core's end and the file that a plugin inherits as Descriptor.
func Pair() (*Socket, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("control: socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "control")
	ours, err := Open(os.NewFile(uintptr(fds[0]), "control"))
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// StreamPair makes a connected pair of stream sockets: a connection for this process and a file to send to the other.
func StreamPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("control: socketpair: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "stream")
	ours, err := Stream(os.NewFile(uintptr(fds[0]), "stream"))
	if err != nil {
		_ = theirs.Close()
		return nil, nil, err
	}
	return ours, theirs, nil
}

// Open makes a Socket of a file and takes the file over.
func Open(f *os.File) (*Socket, error) {
	c, err := Stream(f)
	if err != nil {
		return nil, err
	}
	return &Socket{conn: c}, nil
}

// Stream makes a connection of a unix socket's file and takes the file over.
func Stream(f *os.File) (*net.UnixConn, error) {
	defer f.Close() //nolint:errcheck // FileConn has its own descriptor
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		_ = c.Close()
		return nil, errors.New("control: descriptor is not a unix socket")
	}
	return u, nil
}

// Send sends one message, with f attached unless it is nil; f stays the caller's. It gives up after patience, which
// must be positive and includes the wait for other Sends, with ErrBusy: a stopped peer never stops the caller.
func (s *Socket) Send(m *proto.Control, f *os.File, patience time.Duration) error {
	limit := time.Now().Add(patience)
	b, err := gproto.Marshal(m)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	if len(b) == 0 || len(b) > maxMessage {
		return fmt.Errorf("control: message of %d bytes, 1 to %d are allowed", len(b), maxMessage)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.conn.SetWriteDeadline(limit); err != nil {
		return fmt.Errorf("control: %w", err)
	}
	err = withRights(f, func(rights []byte) error { return s.write(b, rights) })
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ErrBusy
	}
	if err != nil {
		return fmt.Errorf("control: send: %w", err)
	}
	return nil
}

// write uses sendmsg(2) only for descriptors, which plugins do not send: their sandbox refuses it.
func (s *Socket) write(b, rights []byte) error {
	if len(rights) == 0 {
		_, err := s.conn.Write(b)
		return err
	}
	_, _, err := s.conn.WriteMsgUnix(b, rights, nil)
	return err
}

// withRights calls send with the ancillary data for f. Fd would do, but makes the file blocking for all that share it.
func withRights(f *os.File, send func(rights []byte) error) error {
	if f == nil {
		return send(nil)
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = send(unix.UnixRights(int(fd))) }); err != nil {
		return err
	}
	return serr
}

// Receive blocks for the next message; the file is nil when none was attached. The error wraps io.EOF when the other
// side has closed and ErrTruncated when a descriptor was lost, in which case the message is returned as well.
func (s *Socket) Receive() (*proto.Control, *os.File, error) {
	buf := make([]byte, maxMessage)
	oob := make([]byte, unix.CmsgSpace(maxFiles*4))
	n, oobn, flags, _, err := s.conn.ReadMsgUnix(buf, oob)
	f, ferr := oneFile(oob[:oobn])
	if err == nil && n == 0 {
		err = io.EOF
	}
	if err == nil {
		err = ferr
	}
	if err == nil && flags&unix.MSG_TRUNC != 0 {
		err = fmt.Errorf("message of more than %d bytes", maxMessage)
	}
	m := &proto.Control{}
	if err == nil {
		err = gproto.Unmarshal(buf[:n], m)
	}
	if err != nil {
		closeFile(f) // also an empty message can carry one
		return nil, nil, fmt.Errorf("control: receive: %w", err)
	}
	if flags&unix.MSG_CTRUNC != 0 {
		closeFile(f)
		return m, nil, ErrTruncated
	}
	return m, f, nil
}

// Close closes the socket; a Receive that blocks returns.
func (s *Socket) Close() error { return s.conn.Close() }

// oneFile returns the first descriptor of a control message and closes any others. ReadMsgUnix has set close-on-exec.
func oneFile(oob []byte) (*os.File, error) {
	if len(oob) == 0 {
		return nil, nil //nolint:nilnil // no descriptor is the usual case, not an error
	}
	cms, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("control: ancillary data: %w", err)
	}
	var first *os.File
	for i := range cms {
		fds, err := syscall.ParseUnixRights(&cms[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if first == nil {
				first = os.NewFile(uintptr(fd), "received")
				continue
			}
			_ = syscall.Close(fd)
		}
	}
	return first, nil
}

func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}
