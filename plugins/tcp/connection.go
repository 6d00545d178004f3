package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"

	"github.com/sluice-gateway/sluice/sdk"
)

// connection is one accepted connection; its goroutine runs serve.
type connection struct {
	service *service
	raw     net.Conn // what the core relays
	stream  net.Conn // raw, or TLS on it
	from    sdk.Connection
	sorter  sorter
	cutting atomic.Bool
}

func newConnection(s *service, raw net.Conn) *connection {
	c := &connection{service: s, raw: raw, stream: raw, from: sdk.ConnectionOf(raw), sorter: sorter{threshold: s.threshold}}
	if s.tls != nil {
		c.stream = tls.Server(raw, s.tls)
	}
	return c
}

// serve reads until the peer has finished, a frame is bad, or the service stops.
func (c *connection) serve(ctx context.Context) {
	defer c.raw.Close() //nolint:errcheck // everything has been read
	stop := context.AfterFunc(ctx, c.cut)
	defer stop()
	if err := c.handshake(ctx); err != nil {
		c.report(ctx, err, "TLS handshake", &c.service.counters.handshakes)
		return
	}
	r := newReader(c.service.config.MaxMessage)
	defer r.release()
	for {
		c.patience()
		n, err := c.stream.Read(r.space())
		if ferr := c.take(ctx, r, n); ferr != nil {
			c.reject(ctx, r, ferr)
			return
		}
		if err != nil {
			c.end(ctx, r, err)
			return
		}
		r.shrink()
	}
}

func (c *connection) handshake(ctx context.Context) error {
	t, ok := c.stream.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, handshakePatience)
	defer cancel()
	if err := t.HandshakeContext(ctx); err != nil {
		return err
	}
	c.from.Endpoint = identity(t.ConnectionState())
	return nil
}

func (c *connection) patience() {
	if d := c.service.config.IdleTimeout; d > 0 {
		_ = c.raw.SetReadDeadline(time.Now().Add(d))
		if c.cutting.Load() {
			c.cut() // it must not be undone by the line above
		}
	}
}

// take cuts the messages out of what has been read and hands them to the core.
func (c *connection) take(ctx context.Context, r *reader, n int) error {
	if n == 0 {
		return nil
	}
	c.service.counters.bytes.Add(uint64(n))
	r.fill(n, time.Now())
	for {
		recs, err := r.records()
		if werr := c.pass(ctx, recs); werr != nil {
			return werr
		}
		if err != nil || len(recs) == 0 {
			return err
		}
	}
}

// pass hands records to the core, each in its class, in the order in which they came.
func (c *connection) pass(ctx context.Context, recs []sdk.Record) error {
	for len(recs) > 0 {
		n, critical := c.sorter.cut(recs)
		w, counters := c.service.writers.Bulk, c.service.counters
		if critical {
			w = c.service.writers.Critical
		}
		if _, err := w.Write(ctx, c.from, recs[:n]); err != nil {
			return err
		}
		counters.records.Add(uint64(n))
		if critical {
			counters.critical.Add(uint64(n))
		}
		recs = recs[n:]
	}
	return nil
}

// end delivers an unfinished last line when the peer has closed in order; anything else that is cut off is counted.
func (c *connection) end(ctx context.Context, r *reader, err error) {
	last, truncated := r.last()
	if !errors.Is(err, io.EOF) {
		truncated = truncated || last != nil
		last = nil
	}
	if c.pass(ctx, last) != nil {
		return // the core has gone: nothing is acknowledged
	}
	if truncated {
		c.service.counters.truncated.Add(1)
		c.service.notices.warn(ctx, "connection ends inside a message", "remote", c.from.Remote, "bytes", len(r.pending()), "head", head(r.pending()))
	}
	switch {
	case errors.Is(err, io.EOF):
	case c.cutting.Load():
		c.service.counters.cut.Add(1)
		c.service.notices.warn(ctx, "connection cut: it did not end in time", "remote", c.from.Remote)
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.service.counters.idle.Add(1)
		c.service.notices.info(ctx, "connection closed: idle", "remote", c.from.Remote)
	default:
		c.service.counters.broken.Add(1)
		c.service.notices.info(ctx, "connection broken", "remote", c.from.Remote, "error", err)
	}
}

// reject says why a connection is closed by us: a bad frame, or a core that takes nothing more.
func (c *connection) reject(ctx context.Context, r *reader, err error) {
	var bad *framingError
	if !errors.As(err, &bad) {
		return // the writer's error ends the whole service
	}
	c.service.counters.bad(bad.reason)
	c.service.notices.warn(ctx, "connection closed: bad frame",
		"remote", c.from.Remote, "reason", bad.reason, "detail", bad.detail, "head", head(r.pending()))
}

func (c *connection) report(ctx context.Context, err error, what string, counter *atomic.Uint64) {
	if c.cutting.Load() {
		return
	}
	counter.Add(1)
	c.service.notices.warn(ctx, what, "remote", c.from.Remote, "error", err)
}

// halfClose tells the peer that nothing comes from us any more (TLS: close_notify first). It does not wait for it.
func (c *connection) halfClose() {
	_ = c.raw.SetWriteDeadline(time.Now().Add(time.Second))
	if t, ok := c.stream.(*tls.Conn); ok {
		_ = t.CloseWrite() // an error means that there is no session to end
	}
	if h, ok := c.raw.(interface{ CloseWrite() error }); ok {
		_ = h.CloseWrite()
	}
}

// cut ends Read at once.
func (c *connection) cut() {
	c.cutting.Store(true)
	_ = c.raw.SetReadDeadline(time.Unix(1, 0))
}
