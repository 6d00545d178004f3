package warden

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// oobBytes holds the control message of one descriptor, and shows when there
// were more.
const oobBytes = 64

// conn is one connection, with descriptors. One goroutine may read, any may
// write.
type conn struct {
	unix *net.UnixConn
	in   *fileReader

	write sync.Mutex // one message after the other
}

func newConn(c *net.UnixConn) *conn { return &conn{unix: c, in: &fileReader{from: c}} }

// receive returns the next message, and the descriptor that came with it,
// which is the caller's. It refuses a message with more than one.
func (c *conn) receive() (message, *os.File, error) {
	m, err := readMessage(c.in)
	files := c.in.take()
	if err == nil && len(files) != want(m.File) {
		err = fmt.Errorf("%w: %d descriptors came with %q", errMessage, len(files), m.Verb)
	}
	if err != nil {
		closeAll(files)
		return message{}, nil, err
	}
	if len(files) == 0 {
		return m, nil, nil
	}
	return m, files[0], nil
}

func want(file bool) int {
	if file {
		return 1
	}
	return 0
}

// send writes a message, with a descriptor when conn is not nil. Who does not
// read it in time loses the connection.
func (c *conn) send(m message, file syscall.Conn) error {
	m.File = file != nil
	frame, err := m.frame()
	if err != nil {
		return err
	}
	c.write.Lock()
	defer c.write.Unlock()
	if err := c.unix.SetWriteDeadline(time.Now().Add(writeWithin)); err != nil {
		return fmt.Errorf("guard: warden: %w", err)
	}
	err = c.head(frame[:headerBytes], file)
	if err == nil {
		_, err = c.unix.Write(frame[headerBytes:])
	}
	if err != nil {
		// Half a message leaves the stream unusable.
		return fmt.Errorf("guard: warden: send %s: %w", m.Verb, errors.Join(err, c.unix.Close()))
	}
	return nil
}

// head writes the length: the descriptor travels by these bytes.
func (c *conn) head(length []byte, file syscall.Conn) error {
	if file == nil {
		_, err := c.unix.Write(length)
		return err
	}
	return withRights(c.unix, length, file)
}

// withRights writes bytes that a descriptor travels by.
func withRights(to *net.UnixConn, data []byte, file syscall.Conn) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) {
		_, _, sent = to.WriteMsgUnix(data, syscall.UnixRights(int(fd)), nil)
	}); err != nil {
		return err
	}
	return sent
}

func (c *conn) close() { _ = c.unix.Close() } // whoever reads or writes learns of it

// fileReader reads a stream, and collects the descriptors that come along.
type fileReader struct {
	from  *net.UnixConn
	files []*os.File
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (int, error) {
	oob := make([]byte, oobBytes)
	n, oobn, flags, _, err := r.from.ReadMsgUnix(p, oob)
	if err != nil {
		return n, err
	}
	got, err := rights(oob[:oobn])
	r.files = append(r.files, got...)
	if err == nil && (flags&syscall.MSG_CTRUNC != 0 || len(r.files) > 1) {
		err = fmt.Errorf("%w: more than one descriptor", errMessage)
	}
	return n, err
}

// take hands over what has been collected.
func (r *fileReader) take() []*os.File {
	files := r.files
	r.files = nil
	return files
}

func rights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	messages, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	var files []*os.File
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			return files, fmt.Errorf("%w: %w", errMessage, err)
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "passed"))
		}
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close() // nobody wanted it
	}
}
