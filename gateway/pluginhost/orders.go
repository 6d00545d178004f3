package pluginhost

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
	"github.com/sluice-gateway/sluice/sdk/control"
)

// answerPatience bounds the wait for what a shim answers; a plugin that has greeted has answered before.
const answerPatience = time.Second

// errand is the socket over which a shim gets its orders and answers. The shim waits for them, so that the host can
// put it into a control group before it does anything.
type errand struct {
	conn   *net.UnixConn
	theirs *os.File
}

// order gives a command its descriptors: control socket, image and orders.
func order(cmd *exec.Cmd, controls, image *os.File) (*errand, error) {
	conn, theirs, err := control.StreamPair()
	if err != nil {
		return nil, fmt.Errorf("orders: %w", err)
	}
	cmd.ExtraFiles = []*os.File{controls, image, theirs}
	return &errand{conn: conn, theirs: theirs}, nil
}

// drop ends it: a shim without orders ends too.
func (e *errand) drop() {
	_ = e.theirs.Close()
	_ = e.conn.Close()
}

// spec sends the orders. It never blocks: they fit into the socket.
func (e *errand) spec(s *sandbox.Spec) error {
	_ = e.theirs.Close() // the shim has its own
	raw, err := s.Encode()
	if err == nil {
		_, err = e.conn.Write(raw)
	}
	if err := errors.Join(err, e.conn.CloseWrite()); err != nil {
		return fmt.Errorf("orders: %w", err)
	}
	return nil
}

// answer takes in the descriptor of the socket directory.
func (e *errand) answer() (*os.File, error) {
	if err := e.conn.SetReadDeadline(time.Now().Add(answerPatience)); err != nil {
		return nil, fmt.Errorf("socket directory: %w", err)
	}
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := e.conn.ReadMsgUnix(make([]byte, 1), oob)
	if err != nil {
		return nil, fmt.Errorf("socket directory: %w", err)
	}
	messages, err := syscall.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("socket directory: %w", errors.Join(err, os.ErrInvalid))
	}
	fds, err := syscall.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("socket directory: %w", errors.Join(err, os.ErrInvalid))
	}
	return os.NewFile(uintptr(fds[0]), sandbox.SocketDir), nil
}
