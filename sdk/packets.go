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
type packetReader struct {
	full chan *packetBatch
	done chan struct{}
	once sync.Once
	out  *packetBatch // with the caller of ReadBatch
	wg   sync.WaitGroup
}

type packetBatch struct {
	grams []Datagram
	free  chan struct{} // tells the feed that its buffer is its own again
}

func newPacketReader() *packetReader {
	return &packetReader{full: make(chan *packetBatch), done: make(chan struct{})}
}

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
		return // the core sees the feed close and counts
	}
	p.wg.Go(func() { p.feed(u, f.GetInterface()) })
}

// feed reads frames until the core closes the feed or the reader is closed.
func (p *packetReader) feed(u *net.UnixConn, iface string) {
	defer u.Close() //nolint:errcheck // nothing is written to it
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		select {
		case <-p.done:
			_ = u.Close()
		case <-stop:
		}
	}()
	buf := make([]byte, control.MaxFrame)
	b := &packetBatch{free: make(chan struct{}, 1)}
	for {
		frame, err := readFrame(u, buf)
		if err != nil {
			return
		}
		if b.grams, err = datagrams(b.grams[:0], frame, iface); err != nil {
			return
		}
		if !p.pass(b) {
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
	n := int(binary.LittleEndian.Uint32(buf))
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

// ReadBatch returns net.ErrClosed after Close or when the core has gone.
func (p *packetReader) ReadBatch(ctx context.Context) ([]Datagram, error) {
	if p.out != nil {
		p.out.free <- struct{}{}
		p.out = nil
	}
	select {
	case b := <-p.full:
		p.out = b
		return b.grams, nil
	case <-p.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *packetReader) end() {
	if p != nil {
		p.once.Do(func() { close(p.done) })
	}
}

// Close ends all feeds and waits for them.
func (p *packetReader) Close() error {
	p.end()
	p.wg.Wait()
	return nil
}

// packetSender sends datagrams through the core's socket, one request at a time.
type packetSender struct {
	conn  *net.UnixConn
	frame []byte
}

// Send splits what does not fit one frame.
func (s *packetSender) Send(ctx context.Context, grams [][]byte) (int, error) {
	if d, ok := ctx.Deadline(); ok {
		_ = s.conn.SetDeadline(d)
	} else {
		_ = s.conn.SetDeadline(time.Time{})
	}
	stop := context.AfterFunc(ctx, func() { _ = s.conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	sent := 0
	for {
		n, err := s.pack(grams[sent:])
		if err != nil {
			return sent, err
		}
		taken, err := s.exchange()
		sent += taken
		if err != nil || taken < n || sent == len(grams) {
			return sent, err
		}
	}
}

func (s *packetSender) pack(grams [][]byte) (int, error) {
	s.frame = append(s.frame[:0], make([]byte, control.FrameHeader)...)
	for i, g := range grams {
		if len(g) > control.MaxDatagram {
			return 0, &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("datagram of %d bytes", len(g))}
		}
		if len(s.frame)+4+len(g) > control.MaxFrame {
			control.PutLength(s.frame)
			return i, nil
		}
		s.frame = control.AppendPayload(s.frame, g)
	}
	control.PutLength(s.frame)
	return len(grams), nil
}

func (s *packetSender) exchange() (int, error) {
	if _, err := s.conn.Write(s.frame); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	var b [control.AnswerBytes]byte
	if _, err := io.ReadFull(s.conn, b[:]); err != nil {
		return 0, fmt.Errorf("send: %w", err)
	}
	a, err := control.ParseAnswer(b[:])
	if err != nil {
		return 0, err
	}
	if a.Errno != 0 {
		return int(a.Taken), fmt.Errorf("send: %w", a.Errno)
	}
	return int(a.Taken), nil
}

func (s *packetSender) Close() error { return s.conn.Close() }
