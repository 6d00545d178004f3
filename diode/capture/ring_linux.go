package capture

import (
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Ring reads the datagrams of one link. ReadBurst and Read have one caller at
// a time; the other methods may be called at any time.
type Ring struct {
	sock   Socket
	raw    syscall.RawConn
	name   string
	vnet   int // bytes of the header before each frame; 0 = the kernel gives none
	decode *decoder
	count  counters
	ready  func(fd uintptr) bool // made once: a closure per call would allocate

	mu     sync.Mutex // guards what follows; held by ReadBurst
	memory []byte     // shared with the kernel; nil after Close
	at     int        // block that is read or comes next
	open   bool       // that block is being read
	left   int        // frames of it not yet read
	next   int        // where the next of them is, in bytes
	rest   []byte     // of a frame that is delivered in parts; lies in the block
	part   int        // bytes of each part
}

// New makes the ring of a socket and owns the socket from then on, also when
// it returns an error. Frames that the socket queued before are dropped.
func New(sock Socket, cfg Config) (*Ring, error) {
	cfg = cfg.withDefaults()
	r := &Ring{sock: sock, name: cfg.Interface}
	if err := r.set(cfg); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *Ring) set(cfg Config) (err error) {
	if err := cfg.check(); err != nil {
		return err
	}
	r.decode = newDecoder(cfg.Listen, cfg.Source)
	r.ready = r.blockReady
	if r.raw, err = r.sock.SyscallConn(); err != nil {
		return fmt.Errorf("capture: %s: %w", r.name, err)
	}
	var inner error
	if err := r.raw.Control(func(fd uintptr) { inner = r.share(int(fd), cfg.RingBytes) }); err != nil {
		return fmt.Errorf("capture: %s: %w", r.name, err)
	}
	return inner
}

// share asks for the ring and maps it.
func (r *Ring) share(fd, size int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VERSION, unix.TPACKET_V3); err != nil {
		return fmt.Errorf("%w: %s: TPACKET_V3: %w", ErrNoKernel, r.name, err)
	}
	// Without it a merged burst comes without the size of its datagrams, and
	// is counted as malformed or cut.
	if unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1) == nil {
		r.vnet = vnetBytes
	}
	req := unix.TpacketReq3{
		Block_size: blockBytes, Block_nr: uint32(size / blockBytes),
		Frame_size: slotBytes, Frame_nr: uint32(size / slotBytes),
		Retire_blk_tov: retireMillis,
	}
	if err := unix.SetsockoptTpacketReq3(fd, unix.SOL_PACKET, unix.PACKET_RX_RING, &req); err != nil {
		return fmt.Errorf("capture: %s: ring of %d bytes: %w", r.name, size, err)
	}
	memory, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("capture: %s: map the ring: %w", r.name, err)
	}
	r.memory = memory
	return nil
}

// ReadBurst waits for datagrams, copies as many as are there and fit to dst,
// one after the other, and calls add with the offset in dst and the size of
// each. It returns nil after at least one. Dst should hold 64 KiB or more: a
// datagram that does not even fit alone is dropped and counted.
//
// Errors: os.ErrDeadlineExceeded when the read deadline has passed;
// net.ErrClosed when the ring or its socket was closed. While the interface is
// down nothing comes, which is no error.
func (r *Ring) ReadBurst(dst []byte, add func(off, n int)) error {
	return r.read(dst, math.MaxInt, add)
}

// Read is ReadBurst for one datagram, as on a UDP socket. What p has no room
// for is dropped as a whole.
func (r *Ring) Read(p []byte) (n int, err error) {
	err = r.read(p, 1, func(_, size int) { n = size })
	return n, err
}

// read delivers up to most datagrams.
func (r *Ring) read(dst []byte, most int, add func(off, n int)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		if err := r.wait(); err != nil {
			return err
		}
		if r.drain(dst, most, add) {
			return nil
		}
	}
}

// wait returns nil when there is something to read. Also with a full ring it
// notices the deadline and the end of the socket.
func (r *Ring) wait() error {
	if r.memory == nil {
		return fmt.Errorf("capture: %s: %w", r.name, net.ErrClosed)
	}
	err := r.raw.Read(r.ready)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("capture: %s: %w", r.name, err)
	}
	// What the runtime says of a closed file has no name outside of it.
	if r.raw.Control(func(uintptr) {}) != nil {
		return fmt.Errorf("capture: %s: %w", r.name, net.ErrClosed)
	}
	return fmt.Errorf("capture: %s: %w", r.name, err)
}

func (r *Ring) blockReady(uintptr) bool { return r.open || r.current().ready() }

func (r *Ring) current() block {
	return block(r.memory[r.at*blockBytes : (r.at+1)*blockBytes])
}

// drain fills dst from the blocks that are ready, and reports whether it
// delivered anything.
func (r *Ring) drain(dst []byte, most int, add func(off, n int)) bool {
	used, datagrams := 0, 0
	for datagrams < most {
		if len(r.rest) == 0 && !r.nextFrame() {
			break
		}
		n := min(r.part, len(r.rest))
		if used+n > len(dst) {
			if used > 0 {
				break
			}
			r.rest = nil
			r.count.refused[cut].Add(1)
			continue
		}
		copy(dst[used:], r.rest[:n])
		add(used, n)
		used, r.rest = used+n, r.rest[n:]
		datagrams++
	}
	r.count.datagrams.Add(uint64(datagrams))
	return datagrams > 0
}

// nextFrame finds the next frame that is good, and hands back blocks on the
// way. It returns false when there is none.
func (r *Ring) nextFrame() bool {
	for {
		if r.open && r.left == 0 {
			r.current().release()
			r.open, r.at = false, (r.at+1)%(len(r.memory)/blockBytes)
		}
		if !r.open {
			b := r.current()
			if !b.ready() {
				return false
			}
			r.open, r.left, r.next = true, b.word(offBlockCount), b.word(offBlockFirst)
			continue // a block may be empty
		}
		f, next, ok := r.current().frame(r.next, r.vnet)
		if !ok || r.left > 1 && next <= r.next {
			r.left = 0
			r.count.refused[malformed].Add(1)
			continue
		}
		r.left, r.next = r.left-1, next
		if r.take(f) {
			return true
		}
	}
}

// take checks a frame and makes it the one that is delivered.
func (r *Ring) take(f captured) bool {
	why := cut
	switch {
	case f.other:
		why = otherHost
	case f.whole:
		r.rest, why = r.decode.decode(f.data, f.summed)
	}
	if why != accepted {
		r.count.refused[why].Add(1)
		return false
	}
	r.part = len(r.rest)
	if f.segment > 0 && f.segment < r.part {
		r.part = f.segment
		r.count.merged.Add(1)
	}
	r.count.frames.Add(1)
	return len(r.rest) > 0 // an empty datagram is nothing to a receiver
}

// SetReadDeadline makes ReadBurst return os.ErrDeadlineExceeded from then on;
// the zero Time takes that back.
func (r *Ring) SetReadDeadline(t time.Time) error { return r.sock.SetReadDeadline(t) }

// Drops returns how many frames that passed the filter never reached the ring
// because it was full, since it was made (PACKET_STATISTICS, packet(7)).
func (r *Ring) Drops() uint64 {
	// An error means closed: the last count stays.
	_ = r.raw.Control(func(fd uintptr) {
		// The kernel starts its count anew with each reading.
		if s, err := unix.GetsockoptTpacketStatsV3(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			r.count.drops.Add(uint64(s.Drops))
		}
	})
	return r.count.drops.Load()
}

// Stats returns the counters.
func (r *Ring) Stats() Stats {
	r.Drops()
	return r.count.snapshot()
}

// Close closes the socket, which ends a waiting ReadBurst with net.ErrClosed,
// and gives the memory back. It may be called more than once.
func (r *Ring) Close() error {
	_ = r.sock.Close() // closed already when its interface went away
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.memory == nil {
		return nil
	}
	memory := r.memory
	r.memory, r.rest = nil, nil
	if err := unix.Munmap(memory); err != nil {
		return fmt.Errorf("capture: %s: unmap the ring: %w", r.name, err)
	}
	return nil
}

var _ io.ReadCloser = (*Ring)(nil)
