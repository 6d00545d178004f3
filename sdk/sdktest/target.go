package sdktest

import (
	"encoding/binary"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/sdk/control"
)

// target plays one address that a plugin may dial: for UDP it is the core's socket, connected, with an ICMP answer
// behind it when the port is closed.
type target struct {
	Target
	accepted chan net.Conn // TCP: connections that the test has not taken

	mu      sync.Mutex // guards what follows
	got     [][]byte
	lost    int  // sent while the port was closed
	closed  bool // the port
	pending bool // an ICMP answer has come and was not reported
}

// serve answers send requests until the plugin closes.
func (t *target) serve(u *net.UnixConn) {
	defer u.Close() //nolint:errcheck // nothing is buffered
	buf := make([]byte, control.MaxFrame)
	for {
		if _, err := io.ReadFull(u, buf[:control.FrameHeader]); err != nil {
			return
		}
		n := binary.LittleEndian.Uint32(buf)
		if n > control.MaxFrame-control.FrameHeader {
			return
		}
		if _, err := io.ReadFull(u, buf[:n]); err != nil {
			return
		}
		if t.Delay > 0 {
			<-time.After(t.Delay) // plays a slow network
		}
		a, err := t.take(buf[:n])
		if err != nil {
			return
		}
		if _, err := u.Write(a.Append(nil)); err != nil {
			return
		}
	}
}

// take does what a kernel does with a connected UDP socket: a pending error is reported once, by the next call, and
// that call sends nothing more.
func (t *target) take(request []byte) (control.Answer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var a control.Answer
	for {
		if t.pending {
			t.pending = false
			a.Errno = syscall.ECONNREFUSED
			return a, nil
		}
		if len(request) == 0 {
			return a, nil
		}
		payload, rest, err := control.NextPayload(request)
		if err != nil {
			return a, err
		}
		if t.closed {
			t.lost++
			t.pending = true
		} else {
			t.got = append(t.got, slices.Clone(payload))
		}
		request = rest
		a.Taken++
	}
}

func (t *target) refuse(on bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = on
	if !on {
		t.pending = false
	}
}

func (t *target) datagrams() ([][]byte, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.got), t.lost
}
