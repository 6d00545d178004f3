package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// writeBytes is one write to a connection, the size of a full TLS record (RFC 8446, section 5.1).
	writeBytes = 16 << 10
	// closePatience bounds how long a connection waits for the other side's end after its own.
	closePatience = 5 * time.Second
)

// Stream says what to send over TLS.
type Stream struct {
	Address     string // host:port
	CAFile      string // PEM, whom the server's certificate must come from
	Connections int
	Count       uint64 // messages over all connections
	Rate        uint64 // messages per second over one connection; 0 = as fast as they are taken
}

// Sent is what a generator did.
type Sent struct {
	Count  uint64        `json:"count"`
	First  time.Time     `json:"first"` // before the first write
	Last   time.Time     `json:"last"`  // after the last write
	TLS    string        `json:"tls,omitempty"`
	Errors uint64        `json:"errors,omitempty"` // datagrams that the kernel did not take
	Times  *Distribution `json:"times,omitempty"`
}

// Connections are open TLS connections to the process that is measured.
type Connections struct {
	stream Stream
	conns  []*tls.Conn
}

// Connect opens all connections and completes their handshakes.
func Connect(ctx context.Context, s Stream) (*Connections, error) {
	pem, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("load: %s holds no certificate", s.CAFile)
	}
	d := tls.Dialer{Config: &tls.Config{RootCAs: pool, ServerName: "localhost", MinVersion: tls.VersionTLS12}}
	c := &Connections{stream: s}
	for range s.Connections {
		conn, err := d.DialContext(ctx, "tcp", s.Address)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("load: %w", err), c.Close())
		}
		c.conns = append(c.conns, conn.(*tls.Conn)) // as tls.Dialer.DialContext promises
	}
	return c, nil
}

// Send sends all messages and returns when the last one has been written. Message i goes over connection
// i mod Connections. The connections stay open: a receiver may lose what it has not read when they close.
func (c *Connections) Send(ctx context.Context, f *Frames, onSend func(n uint64)) (Sent, error) {
	state := c.conns[0].ConnectionState()
	out := Sent{TLS: tls.VersionName(state.Version) + " " + tls.CipherSuiteName(state.CipherSuite), First: time.Now()}
	stop := context.AfterFunc(ctx, func() {
		for _, conn := range c.conns {
			_ = conn.SetWriteDeadline(time.Now())
		}
	})
	defer stop()
	errs := make([]error, len(c.conns))
	var wg sync.WaitGroup
	for i, conn := range c.conns {
		wg.Go(func() {
			if c.stream.Rate > 0 {
				errs[i] = c.paced(ctx, conn, f, onSend)
				return
			}
			errs[i] = c.flood(conn, uint64(i), f)
		})
	}
	wg.Wait()
	out.Last = time.Now()
	out.Count = c.stream.Count
	return out, errors.Join(errs...)
}

// flood sends every message of one connection in writes of one TLS record.
func (c *Connections) flood(conn io.Writer, from uint64, f *Frames) error {
	step := uint64(len(c.conns))
	buf := make([]byte, 0, writeBytes)
	for n := from; n < c.stream.Count; n += step {
		if len(buf)+MessageBytes+4 > writeBytes {
			if _, err := conn.Write(buf); err != nil {
				return fmt.Errorf("load: message %d: %w", n, err)
			}
			buf = buf[:0]
		}
		buf = f.AppendCounted(buf, n)
	}
	if _, err := conn.Write(buf); err != nil {
		return fmt.Errorf("load: %w", err)
	}
	return nil
}

// paced sends one message per write at a steady rate, and tells when each is about to leave.
func (c *Connections) paced(ctx context.Context, conn io.Writer, f *Frames, onSend func(uint64)) error {
	gap := time.Second / time.Duration(c.stream.Rate)
	begin := time.Now()
	var buf []byte
	for n := range c.stream.Count {
		if err := pause(ctx, time.Until(begin.Add(time.Duration(n)*gap))); err != nil {
			return err
		}
		buf = f.AppendCounted(buf[:0], n)
		onSend(n)
		if _, err := conn.Write(buf); err != nil {
			return fmt.Errorf("load: message %d: %w", n, err)
		}
	}
	return nil
}

// Close ends every connection gently: it says that nothing follows and waits for the other side to end too.
func (c *Connections) Close() error {
	var errs []error
	for _, conn := range c.conns {
		errs = append(errs, conn.CloseWrite())
	}
	for _, conn := range c.conns {
		_ = conn.SetReadDeadline(time.Now().Add(closePatience))
		_, _ = io.Copy(io.Discard, conn) // servers of syslog send nothing; the end is what is waited for
		if err := conn.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
