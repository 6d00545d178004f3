package sdk

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/sluice-gateway/sluice/sdk/control"
)

// packetSender sends datagrams through the core's socket, one request at a time. When an exchange breaks off it is not
// known which answer comes next: the sender has ended and must be dialled again.
type packetSender struct {
	conn  *net.UnixConn
	frame []byte
	ended error
}

// Send splits what does not fit one frame.
func (s *packetSender) Send(ctx context.Context, grams [][]byte) (int, error) {
	if s.ended != nil {
		return 0, s.ended
	}
	release, err := s.obey(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	for sent := 0; ; {
		n, err := s.pack(grams[sent:])
		if err != nil {
			return sent, err
		}
		a, err := s.exchange(n)
		if err != nil {
			return sent, s.end(ctx, err)
		}
		sent += int(a.Taken)
		if a.Errno != 0 {
			return sent, fmt.Errorf("send: %w", a.Errno)
		}
		if int(a.Taken) < n || sent == len(grams) {
			return sent, nil
		}
	}
}

// obey makes the connection follow ctx until the function it returns is called.
func (s *packetSender) obey(ctx context.Context) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := s.conn.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("send: %w", err)
	}
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		_ = s.conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-done // or it would cut the next Send
		}
	}, nil
}

// end keeps the error. It is no errno, so that nobody takes the core's end for the target's.
func (s *packetSender) end(ctx context.Context, err error) error {
	_ = s.conn.Close()
	s.ended = &Error{Code: CodeGone, Detail: "send: the sender has ended, dial again: " + err.Error(), Retryable: true}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.ended
}

// pack builds a request of the first datagrams and returns how many it holds.
func (s *packetSender) pack(grams [][]byte) (int, error) {
	s.frame = append(s.frame[:0], make([]byte, control.FrameHeader)...)
	packed := 0
	for _, g := range grams {
		if len(g) > control.MaxDatagram {
			if packed > 0 {
				break // those before it go first
			}
			return 0, &Error{Code: CodeTooLarge, Detail: fmt.Sprintf("datagram of %d bytes, the limit is %d", len(g), control.MaxDatagram)}
		}
		if len(s.frame)+control.PayloadOverhead+len(g) > control.MaxFrame {
			break
		}
		s.frame = control.AppendPayload(s.frame, g)
		packed++
	}
	control.PutLength(s.frame)
	return packed, nil
}

// exchange sends the request of n datagrams and reads its answer.
func (s *packetSender) exchange(n int) (control.Answer, error) {
	if _, err := s.conn.Write(s.frame); err != nil {
		return control.Answer{}, err
	}
	var b [control.AnswerBytes]byte
	if _, err := io.ReadFull(s.conn, b[:]); err != nil {
		return control.Answer{}, err
	}
	a, err := control.ParseAnswer(b[:])
	if err == nil && int(a.Taken) > n {
		err = fmt.Errorf("%w: %d of %d datagrams taken", control.ErrFrame, a.Taken, n)
	}
	return a, err
}

func (s *packetSender) Close() error { return s.conn.Close() }
