package gateway

import (
	"context"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/sluice-gateway/sluice/diode/capture"
	"github.com/sluice-gateway/sluice/diode/recv"
	"github.com/sluice-gateway/sluice/hcl/config"
)

// receiveConns opens the sockets of receiving ends; the guard is behind it.
type receiveConns interface {
	DiodeReceive(ctx context.Context, iface string, listen netip.AddrPort, rcvbuf int) (udpConn, error)
	DiodeCapture(ctx context.Context, iface string, source netip.Addr, listen netip.AddrPort) (*os.File, error)
}

// receiveEnd is the receiving end of one diode: a path of its group.
type receiveEnd struct {
	link  *link
	conns receiveConns
}

// path describes the end to the receiver. Its socket is opened, and opened again, while the others go on: an interface
// that is missing or goes away silences this diode alone.
func (e receiveEnd) path(stateDir string) recv.Path {
	d := e.link.diode
	p := recv.Path{Link: d.Name, StateDir: filepath.Join(stateDir, "link", d.Name), Open: e.open}
	for _, k := range e.link.pairings {
		p.Keys = append(p.Keys, recv.Key{ID: k.KeyID, PSK: k.PSK(), Private: k.Private()})
	}
	return p
}

// open waits for the socket until ctx ends.
func (e receiveEnd) open(ctx context.Context) (recv.PacketReader, error) {
	told := complaint{log: e.link.log, text: "the receiving socket cannot be opened; trying again"}
	for {
		conn, err := e.socket(ctx)
		if ctx.Err() != nil {
			if err == nil {
				closeQuietly(conn)
			}
			return nil, ctx.Err()
		}
		e.link.down(err)
		if err == nil {
			return conn, nil
		}
		told.about(err)
		select {
		case <-ctx.Done():
		case <-time.After(linkRetry):
		}
	}
}

// receiveConn is a socket that is read from.
type receiveConn interface {
	recv.PacketReader
	io.Closer
}

func (e receiveEnd) socket(ctx context.Context) (receiveConn, error) {
	r := e.link.diode.Receive
	if r.Capture != config.CapturePacket {
		c, err := e.conns.DiodeReceive(ctx, r.Interface, r.Listen, linkBuffer)
		if err != nil {
			return nil, err // a nil *net.UDPConn would be a connection
		}
		return c, nil
	}
	file, err := e.conns.DiodeCapture(ctx, r.Interface, r.Source, r.Listen)
	if err != nil {
		return nil, err
	}
	ring, err := capture.New(file, capture.Config{Interface: r.Interface, Listen: r.Listen, Source: r.Source, RingBytes: linkBuffer})
	if err != nil {
		return nil, err
	}
	return ring, nil
}

// down notes why the end has no socket; nil: it has one.
func (l *link) down(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = ""
	if err != nil {
		l.failed = err.Error()
	}
}

func closeQuietly(c io.Closer) { _ = c.Close() }
