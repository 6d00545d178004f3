package relay

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/sluice-gateway/sluice/gateway/guard"
	"github.com/sluice-gateway/sluice/sdk/control"
	"github.com/sluice-gateway/sluice/sdk/proto"
)

// feedPause is how long a plugin that did not take its feed is left alone (ours).
const feedPause = time.Second

// receive is given every UDP socket of the component's port and reads it until ctx ends. What is not handed to a plugin
// stays in the kernel's buffer, except a frame that was being written when the plugin went: the next one gets it.
func (r *Relay) receive(ctx context.Context, sock *guard.PacketSocket) {
	if !r.enter() {
		return
	}
	defer r.leave()
	r.noteBuffer(sock)
	d, err := newDatagrams(r, sock)
	if err != nil {
		r.log.Error("datagram socket cannot be read", "interface", sock.Interface, "error", err)
		return
	}
	defer d.giveUp()
	for ctx.Err() == nil {
		s, held, err := r.udp.wait(ctx)
		if err != nil {
			return
		}
		if s.enter() {
			r.feed(ctx, held, s, d)
			s.wg.Done()
		}
	}
}

// noteBuffer keeps the least receive buffer for status.
func (r *Relay) noteBuffer(sock *guard.PacketSocket) {
	granted := int64(sock.ReceiveBuffer)
	for {
		old := r.counts.receiveBuffer.Load()
		if old != 0 && old <= granted {
			return
		}
		if r.counts.receiveBuffer.CompareAndSwap(old, granted) {
			break
		}
	}
	if sock.ReceiveBuffer < r.grants.ReceiveBuffer {
		r.log.Warn("the kernel granted a smaller receive buffer: raise net.core.rmem_max, or bursts are dropped",
			"interface", sock.Interface, "asked_bytes", r.grants.ReceiveBuffer, "granted_bytes", sock.ReceiveBuffer)
	}
}

// feed hands a socket's datagrams to one instance of the plugin while ctx and held last.
func (r *Relay) feed(ctx, held context.Context, s *session, d *datagrams) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(held, cancel)()
	conn, err := s.openFeed(d.sock)
	if err != nil {
		r.refused.add(RefusedPluginBusy, 1, "feed", d.sock.Interface, "error", err)
		pause(ctx, feedPause)
		return
	}
	defer conn.Close() //nolint:errcheck // what was written stays readable
	release := interrupt(ctx, func(at time.Time) {
		_ = conn.SetWriteDeadline(at)
		_ = d.sock.Conn.SetReadDeadline(at)
	})
	defer release()
	for {
		if err := d.fill(ctx); err != nil {
			r.readTrouble(ctx, d.sock, err)
			return
		}
		r.counts.waiting.Add(1)
		_, err := conn.Write(d.frame)
		r.counts.waiting.Add(-1)
		if err != nil {
			if ctx.Err() == nil {
				r.udp.leave(s.control) // it has closed its reader: it must ask again
			}
			return
		}
		s.datagrams.Add(d.count)
		s.bytes.Add(d.bytes)
		r.counts.datagrams.Add(d.count)
		r.counts.bytesIn.Add(d.bytes)
		d.clear()
	}
}

// readTrouble logs an error of the socket and waits a moment, so that a lasting one does not spin.
func (r *Relay) readTrouble(ctx context.Context, sock *guard.PacketSocket, err error) {
	if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
		return // the guard closes the socket and ends ctx when the interface goes
	}
	r.log.Warn("datagram socket", "interface", sock.Interface, "error", err)
	pause(ctx, feedPause)
}

// openFeed gives the plugin its end of a new feed.
func (s *session) openFeed(sock *guard.PacketSocket) (*net.UnixConn, error) {
	ours, theirs, err := control.StreamPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close() //nolint:errcheck // the plugin has its own
	local := ""
	if u, ok := sock.Conn.LocalAddr().(*net.UDPAddr); ok {
		local = u.AddrPort().String()
	}
	m := &proto.Control{Kind: &proto.Control_Feed{Feed: &proto.Feed{Local: local, Interface: sock.Interface}}}
	if err := s.control.Send(m, theirs, answerPatience); err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	return ours, nil
}

// interrupt calls set with a time in the past when ctx ends, so that blocked calls return, and with no time on release.
func interrupt(ctx context.Context, set func(time.Time)) (release func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		set(time.Unix(1, 0))
	})
	return func() {
		if !stop() {
			<-done
		}
		set(time.Time{})
	}
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
