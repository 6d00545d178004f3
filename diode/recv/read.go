package recv

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	chunkSlots = 32       // datagrams (or GRO bursts) per chunk
	slotBytes  = 64 << 10 // bytes; the largest UDP payload, and the largest GRO burst
	chunkCount = 6        // chunks under way per path: 12 MiB, of which only what arrives is touched
	readPause  = time.Second / 100
	// handOver is from how much on a chunk goes to the loop, in bytes: below it
	// waking another goroutine costs too much beside the work (measured: 11 % of
	// the far end's CPU time), above it the socket's queue is long, and reading
	// goes on beside the work.
	handOver = 256 << 10
)

// chunk is what one call to the kernel brought.
type chunk struct {
	path    *path
	home    chan *chunk // where it goes when it is worked through
	buf     []byte      // chunkSlots slots
	packets []packet
	bytes   int    // in packets
	queued  bool   // on its way to the loop
	drops   uint32 // kernel's counter of datagrams dropped at this socket
	hasDrop bool
	fresh   bool // the first of its connection
}

type packet struct{ off, size int }

func newChunk(p *path, home chan *chunk) *chunk {
	return &chunk{path: p, home: home, buf: make([]byte, chunkSlots*slotBytes), packets: make([]packet, 0, chunkSlots*64)}
}

func (c *chunk) slot(i int) []byte { return c.buf[i*slotBytes : (i+1)*slotBytes] }

// add notes n bytes in slot i that are datagrams of segment bytes each, the
// last one possibly shorter.
func (c *chunk) add(i, n, segment int) {
	if segment <= 0 {
		segment = n
	}
	c.bytes += n
	for off := 0; off < n; off += segment {
		c.packets = append(c.packets, packet{off: i*slotBytes + off, size: min(segment, n-off)})
	}
}

// addAt notes a datagram anywhere in the chunk.
func (c *chunk) addAt(off, n int) {
	c.bytes += n
	c.packets = append(c.packets, packet{off: off, size: n})
}

// empty makes the chunk ready for the next read.
func (c *chunk) empty(fresh bool) {
	c.packets, c.bytes, c.hasDrop, c.fresh = c.packets[:0], 0, false, fresh
}

// burstReader takes many datagrams with one call: diode/capture.
type burstReader interface {
	ReadBurst(dst []byte, add func(off, n int)) error
}

// reader reads: what it leaves in the socket's queue is lost when that is full.
// With room in that queue it also works through what is little, as long as
// nothing that it read before waits for the loop.
type reader struct {
	fresh bool // nothing was read yet
	roomy bool // the socket's queue is long
	conn  PacketReader
	burst burstReader  // or nil
	multi *multiReader // or nil; without both one Read per datagram
	free  chan *chunk  // capacity chunkCount
	full  chan *chunk  // has room for every chunk
}

func newReader(conn PacketReader, roomy bool, free, full chan *chunk) *reader {
	r := &reader{conn: conn, fresh: true, roomy: roomy, free: free, full: full}
	if b, ok := r.conn.(burstReader); ok {
		r.burst = b
	} else {
		r.multi = newMultiReader(r.conn)
	}
	return r
}

// newChunks makes the chunks of a path.
func newChunks(p *path) chan *chunk {
	free := make(chan *chunk, chunkCount)
	for range chunkCount {
		free <- newChunk(p, free)
	}
	return free
}

// run reads until ctx ends.
func (r *reader) run(ctx context.Context) error {
	// The goroutine is waited for: it must not touch the deadline of whoever
	// reads from this connection next.
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		_ = r.conn.SetReadDeadline(time.Unix(1, 0))
	})
	defer func() {
		if !stop() {
			<-woken
		}
	}()
	var c *chunk
	for {
		if c == nil {
			select {
			case c = <-r.free:
			case <-ctx.Done():
				return nil
			}
		}
		c.empty(r.fresh)
		err := r.read(c)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			r.fresh = false
			c = r.pass(c)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			r.free <- c
			return fmt.Errorf("recv: read: %w", err)
		}
		wait(ctx, readPause) // an error of the interface, which may come back
	}
}

// pass works through the chunk and returns it, or gives it to the loop.
func (r *reader) pass(c *chunk) *chunk {
	if r.roomy && c.bytes < handOver && c.path.tryChunk(c) {
		return c
	}
	c.queued = true
	c.path.queued.Add(1)
	r.full <- c // never blocks: as many places as chunks
	return nil
}

func (r *reader) read(c *chunk) error {
	switch {
	case r.burst != nil:
		return r.burst.ReadBurst(c.buf, c.addAt)
	case r.multi != nil:
		return r.multi.read(c)
	}
	n, err := r.conn.Read(c.slot(0))
	if err != nil {
		return err
	}
	c.add(0, n, 0)
	return nil
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
