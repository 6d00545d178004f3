package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// pipe relays one connection: tcp is the network's side, unix the plugin's.
//
//	read EOF      ─► shutdown(WR) of the other side; when both directions have had it, or the side that ended is gone
//	                 altogether, both are closed
//	read error    ─► both are cut: the endpoint gets a reset, the plugin the end of its stream
//	write error   ─► likewise, except that what a plugin wrote before it closed is still sent
type pipe struct {
	relay *Relay
	tcp   *net.TCPConn
	unix  *net.UnixConn
	in    half // tcp → unix
	out   half // unix → tcp
	ended atomic.Int32
	once  sync.Once
}

// half is one direction.
type half struct {
	pool  *sync.Pool
	src   syscall.RawConn
	dst   writeCloser
	moved *atomic.Uint64
	waits *atomic.Int64 // writes in progress; only of the direction to the plugin

	// Set by poll for the goroutine of this half.
	buf *[chunkBytes]byte
	n   int
	err error
}

type writeCloser interface {
	io.Writer
	CloseWrite() error
}

// errWrite marks an error of the destination.
var errWrite = errors.New("write")

func newPipe(r *Relay, tcp *net.TCPConn, plugin *net.UnixConn) (*pipe, error) {
	tcpRaw, err := tcp.SyscallConn()
	if err != nil {
		return nil, err
	}
	unixRaw, err := plugin.SyscallConn()
	if err != nil {
		return nil, err
	}
	return &pipe{
		relay: r, tcp: tcp, unix: plugin,
		in:  half{pool: &r.buffers, src: tcpRaw, dst: plugin, moved: &r.counts.bytesIn, waits: &r.counts.waiting},
		out: half{pool: &r.buffers, src: unixRaw, dst: tcp, moved: &r.counts.bytesOut, waits: new(atomic.Int64)},
	}, nil
}

// run relays until the connection is over and closes both sides.
func (p *pipe) run() {
	defer p.relay.give()
	var wg sync.WaitGroup
	wg.Go(func() { p.direction(&p.in) })
	p.direction(&p.out)
	wg.Wait()
	p.close()
}

func (p *pipe) direction(h *half) {
	err := h.copy()
	if errors.Is(err, errWrite) && h == &p.in && p.pluginGone() {
		return // the other direction sends what the plugin has written, then finds its end
	}
	if err != nil {
		p.abort()
		return
	}
	if h.dst.CloseWrite() != nil || p.ended.Add(1) == 2 {
		p.close()
		return
	}
	// One direction is over, the other may go on as long as the side that ended this one is still there.
	if h.src.Read(hungUp) == nil {
		p.close()
	}
}

func (p *pipe) pluginGone() bool {
	gone := false
	_ = p.out.src.Control(func(fd uintptr) { gone = hungUp(fd) })
	return gone
}

// close ends the connection in order: the kernel sends what it has, or a reset when the endpoint's data was not read.
func (p *pipe) close() {
	p.once.Do(func() {
		_ = p.tcp.Close()
		_ = p.unix.Close()
	})
}

// abort cuts both sides.
func (p *pipe) abort() {
	p.once.Do(func() {
		cut(p.tcp)
		_ = p.unix.Close()
	})
}

// copy moves data until the source ends, which is no error.
func (h *half) copy() error {
	poll := h.poll // one closure for the life of the connection
	for {
		if err := h.src.Read(poll); err != nil {
			return err
		}
		if h.err != nil || h.n == 0 {
			h.put()
			return h.err
		}
		h.waits.Add(1)
		n, err := h.dst.Write(h.buf[:h.n])
		h.waits.Add(-1)
		h.put()
		h.moved.Add(uint64(n))
		if err != nil {
			return errors.Join(errWrite, err)
		}
	}
}

// poll reads once and says whether that gave a result. It holds a buffer only then.
func (h *half) poll(fd uintptr) bool {
	buf, _ := h.pool.Get().(*[chunkBytes]byte)
	for {
		n, err := unix.Read(int(fd), buf[:])
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if errors.Is(err, unix.EAGAIN) {
			h.pool.Put(buf)
			return false
		}
		h.buf, h.n, h.err = buf, n, err
		return true
	}
}

func (h *half) put() {
	h.pool.Put(h.buf)
	h.buf = nil
}
