package sdk

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// packetReader merges the feeds of a receiver's UDP sockets, one per interface and family. Each feed has a goroutine
// and one buffer of control.MaxFrame bytes, which belongs to the caller of ReadBatch until its next call.
//
//	reading ── Finish ──► finishing ── last feed at its end ──► drained (io.EOF)
//	   └──────────── Close, core gone ──────────────────────────► closed (net.ErrClosed)
type packetReader struct {
	full    chan *packetBatch
	done    chan struct{} // closed by end
	drained chan struct{} // closed when the last feed has ended after Finish
	out     *packetBatch  // with the caller of ReadBatch

	mu        sync.Mutex // guards what follows
	feeds     map[*net.UnixConn]struct{}
	closed    bool
	finishing bool
	wg        sync.WaitGroup
}

type packetBatch struct {
	grams []Datagram
	free  chan struct{} // tells the feed that its buffer is its own again
}

func newPacketReader() *packetReader {
	return &packetReader{
		full: make(chan *packetBatch), done: make(chan struct{}), drained: make(chan struct{}),
		feeds: map[*net.UnixConn]struct{}{},
	}
}

// offer takes over a feed's descriptor.
func (p *packetReader) offer(f *proto.Feed, file *os.File) {
	if file == nil {
		return
	}
	if p == nil {
		_ = file.Close()
		return
	}
	u, err := control.Stream(file)
	if err != nil {
		return // at the limit of open files: the core sees the feed close and counts
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.finishing {
		_ = u.Close()
		return
	}
	p.feeds[u] = struct{}{}
	p.wg.Go(func() {
		p.feed(u, f.GetInterface())
		p.leave(u)
	})
}

// leave forgets a feed that has ended.
func (p *packetReader) leave(u *net.UnixConn) {
	_ = u.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.feeds, u)
	if p.finishing && len(p.feeds) == 0 {
		close(p.drained)
	}
}

// feed reads frames until the feed ends or the reader is closed.
func (p *packetReader) feed(u *net.UnixConn, iface string) {
	buf := make([]byte, control.MaxFrame)
	b := &packetBatch{free: make(chan struct{}, 1)}
	for {
		frame, err := readFrame(u, buf)
		if err != nil {
			return
		}
		if b.grams, err = datagrams(b.grams[:0], frame, iface); err != nil {
			return // the core broke the format; it sees its end close
		}
		if len(b.grams) > 0 && !p.pass(b) {
			return
		}
	}
}

// pass lends the batch to ReadBatch and waits until it is given back.
func (p *packetReader) pass(b *packetBatch) bool {
	select {
	case p.full <- b:
	case <-p.done:
		return false
	}
	select {
	case <-b.free:
		return true
	case <-p.done:
		return false
	}
}

func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(r, buf[:control.FrameHeader]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(buf)
	if n > control.MaxFrame-control.FrameHeader {
		return nil, fmt.Errorf("%w: %d bytes", control.ErrFrame, n)
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

func datagrams(dst []Datagram, frame []byte, iface string) ([]Datagram, error) {
	for len(frame) > 0 {
		remote, nano, payload, rest, err := control.NextDatagram(frame)
		if err != nil {
			return nil, err
		}
		dst = append(dst, Datagram{Remote: remote, Interface: iface, Received: time.Unix(0, nano), Payload: payload})
		frame = rest
	}
	return dst, nil
}

// ReadBatch returns net.ErrClosed after Close or when the core has gone, and io.EOF at the end of Finish.
func (p *packetReader) ReadBatch(ctx context.Context) ([]Datagram, error) {
	if p.out != nil {
		p.out.free <- struct{}{} // has room: one batch is out at a time
		p.out = nil
	}
	select {
	case <-p.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case b := <-p.full:
		p.out = b
		return b.grams, nil
	case <-p.drained:
		return nil, io.EOF
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Finish shuts the feeds for reading. The kernel still hands out what they hold, then their end; the core's next write
// meets EPIPE, by which it knows what is left to feed to somebody else.
func (p *packetReader) Finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.finishing || p.closed {
		return
	}
	p.finishing = true
	for u := range p.feeds {
		_ = u.CloseRead()
	}
	if len(p.feeds) == 0 {
		close(p.drained)
	}
}

func (p *packetReader) end() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	close(p.done)
	for u := range p.feeds {
		_ = u.Close()
	}
}

// Close ends all feeds and waits for them.
func (p *packetReader) Close() error {
	p.end()
	p.wg.Wait()
	return nil
}
