package send

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/sluice-gateway/sluice/diode/frame"
)

const (
	maxBurstBytes  = 65000            // bytes in one UDP_SEGMENT call: an IP packet is at most 65535
	maxBurst       = 64               // frames in one call, UDP_MAX_SEGMENTS of Linux before 6.9
	bufferWait     = time.Millisecond // after ENOBUFS, the device queue drains in less
	bufferPatience = time.Second      // after which a device that takes nothing is held
)

// transmitter gathers sealed frames of one size into bursts and hands each to
// the kernel. It returns nil only when the kernel accepted the whole burst.
type transmitter struct {
	conn  PacketWriter
	seg   *segmenter // nil: one Write per frame
	pace  *pacer
	log   *slog.Logger
	stats *counters
	probe func() []byte // what to send to see whether the link takes frames again

	noBuffer time.Time // since when the device queue is full; zero: it is not

	burst  int // frames at most
	buf    []byte
	used   int // bytes in buf
	frames int
	size   int  // bytes of every frame in the burst but the last
	short  bool // the last one is shorter: nothing may follow it
}

// errHeld unwinds the loop after the link did not take frames: what was under
// way is given up, and sent again when the link takes frames.
var errHeld = errors.New("send: link does not take frames")

// room makes sure that a frame of size bytes fits and returns where to put it.
func (t *transmitter) room(ctx context.Context, size int) ([]byte, error) {
	full := t.frames >= t.burst || t.used+size > min(len(t.buf), maxBurstBytes)
	if t.frames > 0 && (full || t.short || size > t.size) {
		if err := t.flush(ctx); err != nil {
			return nil, err
		}
	}
	return t.buf[t.used:t.used:len(t.buf)], nil
}

// add takes the frame that was written where room said.
func (t *transmitter) add(size int) {
	if t.frames == 0 {
		t.size = size
	}
	t.short = size < t.size
	t.used += size
	t.frames++
}

// flush sends the burst as soon as pacing allows.
func (t *transmitter) flush(ctx context.Context) error {
	if t.frames == 0 {
		return nil
	}
	wire := t.used + t.frames*t.pace.perUDP
	if err := t.pace.wait(ctx, wire); err != nil {
		return err
	}
	if err := t.write(ctx); err != nil {
		return err
	}
	t.noBuffer = time.Time{}
	t.stats.frames.Add(uint64(t.frames))
	t.stats.wireBytes.Add(uint64(wire))
	t.clear()
	return nil
}

// urgent sends one datagram at once with reserved tokens.
func (t *transmitter) urgent(ctx context.Context, b []byte) error {
	wire := len(b) + t.pace.perUDP
	t.pace.take(wire)
	for {
		_, err := t.conn.Write(b)
		if err == nil {
			break
		}
		if err := t.refused(ctx, err); err != nil {
			return err
		}
	}
	t.noBuffer = time.Time{}
	t.stats.frames.Add(1)
	t.stats.wireBytes.Add(uint64(wire))
	return nil
}

func (t *transmitter) write(ctx context.Context) error {
	for off := 0; off < t.used; {
		n, err := t.writeFrom(off)
		off += n
		if err == nil {
			continue
		}
		if err := t.refused(ctx, err); err != nil {
			return err
		}
	}
	return nil
}

// writeFrom sends what it can from offset off with one call.
func (t *transmitter) writeFrom(off int) (int, error) {
	if t.seg != nil && t.used-off > t.size {
		err := t.seg.send(t.buf[off:t.used], t.size)
		if err == nil {
			return t.used - off, nil
		}
		if !segmentationRefused(err) {
			return 0, err
		}
		t.seg = nil
		t.stats.segmentation.Store(false)
		t.log.Warn("segmentation offload refused, sending frame by frame", "err", err)
	}
	end := min(off+t.size, t.used)
	if _, err := t.conn.Write(t.buf[off:end]); err != nil {
		return 0, err
	}
	return end - off, nil
}

// refused decides on an error of the kernel. It returns nil when the write may
// be tried again.
func (t *transmitter) refused(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, net.ErrClosed):
		return fmt.Errorf("send: %w", err)
	case errors.Is(err, syscall.EMSGSIZE):
		return fmt.Errorf("send: a frame of %d bytes does not fit the interface; set the link's mtu to the interface's: %w", t.size, err)
	case errors.Is(err, syscall.ENOBUFS) && t.patient(time.Now()):
		return t.pace.sleep(ctx, bufferWait)
	default:
		return fmt.Errorf("%w: %w", errHeld, err)
	}
}

// patient says whether a full device queue may still drain by itself.
func (t *transmitter) patient(now time.Time) bool {
	if t.noBuffer.IsZero() {
		t.noBuffer = now
	}
	return now.Sub(t.noBuffer) < bufferPatience
}

// clear drops the burst that was refused.
func (t *transmitter) clear() { t.used, t.frames, t.short, t.noBuffer = 0, 0, false, time.Time{} }

// newTransmitter sets up bursts and pacing.
func (s *Sender) newTransmitter() {
	size := frame.Overhead + s.shard
	s.tx = transmitter{
		conn: s.cfg.Conn, seg: newSegmenter(s.cfg.Conn), log: s.log, stats: &s.stats, pace: newPacer(s.cfg.IPv6),
		buf: make([]byte, max(size, min(maxBurst*size, maxBurstBytes))), probe: func() []byte { return s.session.hello },
	}
	s.stats.segmentation.Store(s.tx.seg != nil)
	s.setRate(s.cfg.RateBits)
	hello := float64(frame.AnnouncementBytes + s.tx.pace.perUDP)
	s.helloEvery = max(helloEvery, time.Duration(hello*helloShare/s.tx.pace.rate*float64(time.Second)))
}

// setRate changes the pace, and with it the length of bursts: a burst that is
// lost whole must be within what the code of every class repairs, and no
// longer than what the line takes in paceWindow.
func (s *Sender) setRate(bits uint64) {
	size := s.frameCost(s.shard)
	burst := min(maxBurst, maxBurstBytes/(frame.Overhead+s.shard))
	for _, st := range s.streams {
		burst = min(burst, max(st.bulk.Parity-1, 1)*s.cfg.Interleave)
	}
	perWindow := float64(bits) / 8 * paceWindow.Seconds() / float64(size)
	s.tx.burst = max(1, min(burst, int(perWindow)))
	s.tx.pace.set(bits, s.tx.burst*size)
}
