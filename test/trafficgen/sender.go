package trafficgen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"syscall"
	"time"
)

// burst is how much may be sent at once to keep the rate, in time. Ours: timers
// are not finer than about a millisecond.
const burst = 2 * time.Millisecond

// Sent says what was sent.
type Sent struct {
	Count, Bytes int
	Refused      int // datagrams that an earlier ICMP refusal kept back; sent again
}

// Send writes each item with one call, at the given rate per second (0: as
// fast as possible), until all are sent or ctx ends. Over UDP an item is a
// datagram.
func Send(ctx context.Context, w io.Writer, items iter.Seq2[int, []byte], rate float64) (Sent, error) {
	var s Sent
	p := pacer{start: time.Now(), rate: rate}
	for i, item := range items {
		if err := p.wait(ctx, i); err != nil {
			return s, err
		}
		refused, err := write(w, item)
		s.Refused += refused
		if err != nil {
			return s, fmt.Errorf("trafficgen: item %d: %w", i, err)
		}
		s.Count++
		s.Bytes += len(item)
	}
	return s, nil
}

// write sends again what the kernel kept back to report a refusal of an
// earlier datagram. The second refusal in a row is taken for sent: over UDP
// nobody promises that there is a receiver.
func write(w io.Writer, item []byte) (refused int, err error) {
	for refused < 2 {
		if _, err = w.Write(item); !errors.Is(err, syscall.ECONNREFUSED) {
			return refused, err
		}
		refused++
	}
	return refused, nil
}

// Framed puts every message into its frame.
func Framed(messages iter.Seq2[int, []byte], f Framing) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		var buf []byte
		for i, m := range messages {
			buf = f.Frame(buf[:0], m)
			if !yield(i, buf) {
				return
			}
		}
	}
}

// Finish ends a stream so that nothing sent is lost: it says that no more
// comes, waits until the peer has closed or the time is over, and closes.
func Finish(c net.Conn, atMost time.Duration) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return c.Close()
	}
	if err := half.CloseWrite(); err != nil {
		return errors.Join(fmt.Errorf("trafficgen: finish: %w", err), c.Close())
	}
	_ = c.SetReadDeadline(time.Now().Add(atMost))
	_, _ = io.Copy(io.Discard, c)
	return c.Close()
}

type pacer struct {
	start time.Time
	rate  float64
}

func (p pacer) wait(ctx context.Context, i int) error {
	if p.rate <= 0 {
		return ctx.Err()
	}
	due := p.start.Add(time.Duration(float64(i) / p.rate * float64(time.Second)))
	early := time.Until(due)
	if early < burst {
		return ctx.Err()
	}
	timer := time.NewTimer(early)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
