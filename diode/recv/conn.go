package recv

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// reopenPause is the pause before a connection is opened again (ours).
const reopenPause = 100 * time.Millisecond

// run reads from the path until ctx ends. A connection that was given and is
// closed is an error; one that was opened here is opened again.
func (p *path) run(ctx context.Context) error {
	free := newChunks(p)
	if p.cfg.Open == nil {
		return p.read(ctx, p.cfg.Conn, free)
	}
	for ctx.Err() == nil {
		conn, err := p.cfg.Open(ctx)
		if err == nil {
			err = p.read(ctx, conn, free)
			if c, ok := conn.(io.Closer); ok {
				_ = c.Close()
			}
		}
		if err != nil && ctx.Err() == nil {
			p.log.Debug("the connection is opened again", "error", err)
		}
		wait(ctx, reopenPause)
	}
	return nil
}

// read reads from one connection until it is closed or ctx ends.
func (p *path) read(ctx context.Context, conn PacketReader, free chan *chunk) error {
	if err := conn.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("recv: read: %w", err)
	}
	p.attach(conn)
	defer p.detach()
	roomy := p.granted == 0 || p.granted >= wantBuffer // 0: no socket, or a ring of its own
	return newReader(conn, roomy, free, p.full).run(ctx)
}

// attach asks for room for bursts.
func (p *path) attach(conn PacketReader) {
	granted, err := 0, error(nil)
	if _, ok := conn.(burstReader); !ok { // which has a ring of its own
		granted, err = growBuffer(conn)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conn, p.granted, p.dropped = conn, granted, p.frames.KernelDrops
	switch {
	case errors.Is(err, net.ErrClosed): // reading says so
	case err != nil:
		p.log.Warn("receive buffer", "err", err)
	case granted > 0 && granted < wantBuffer:
		p.log.Warn("receive buffer is smaller than wanted: bursts will be lost; raise net.core.rmem_max or grant CAP_NET_ADMIN",
			"granted", granted, "wanted", wantBuffer)
	}
}

// detach keeps what the connection counted.
func (p *path) detach() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.countDrops()
	p.conn, p.granted = nil, 0
}

// countDrops asks a connection that counts by itself.
func (p *path) countDrops() {
	if d, ok := p.conn.(interface{ Drops() uint64 }); ok {
		p.frames.KernelDrops = p.dropped + d.Drops()
	}
}
