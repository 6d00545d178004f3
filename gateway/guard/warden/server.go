package warden

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
)

// call is one request of one client.
type call struct {
	verb string
	body json.RawMessage
	file *os.File // that came with it, or nil; the server closes it
	peer peer
}

// answerer does what is asked for.
type answerer interface {
	// answer returns what to send back, and a descriptor to send along, which
	// the server closes.
	answer(ctx context.Context, c call) (any, *os.File, error)
}

// server lets clients in and speaks the protocol with them.
type server struct {
	log   *slog.Logger
	allow []int // user ids that may connect
	to    answerer
	board *board // nil: nothing is pushed

	mu   sync.Mutex         // guards open
	open map[*conn]struct{} // at most connectionsMost
}

func newServer(log *slog.Logger, allow []int, to answerer, b *board) *server {
	return &server{log: log, allow: allow, to: to, board: b, open: map[*conn]struct{}{}}
}

// pathMost is how long the path of a unix socket may be, in bytes (unix(7)).
const pathMost = 107

// listen makes the socket, in place of one that nobody listens on any more.
// Everybody may knock: who is let in is decided by the kernel's word on them.
func listen(ctx context.Context, path string) (*net.UnixListener, error) {
	if len(path) > pathMost {
		return nil, fmt.Errorf("guard: warden: socket %s: its path has %d bytes, at most %d are possible", path, len(path), pathMost)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("guard: warden: %w", err)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("guard: warden: %w", err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		return nil, errors.Join(fmt.Errorf("guard: warden: %w", err), l.Close())
	}
	return l.(*net.UnixListener), nil
}

// run serves until ctx ends, and waits for every connection.
func (s *server) run(ctx context.Context, l *net.UnixListener) {
	var clients sync.WaitGroup
	defer clients.Wait()
	stop := context.AfterFunc(ctx, func() {
		_ = l.Close() // ends Accept
		s.closeAll()
	})
	defer stop()
	for {
		c, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = c.Close()
			}
			return
		case err != nil:
			s.log.Error("guard: warden: accept", "error", err)
			pause(ctx, reconnectFirst) // out of descriptors, most likely: some will be closed
			continue
		}
		if admitted, who, ok := s.admit(c); ok {
			clients.Go(func() { s.serve(ctx, admitted, who) })
		}
	}
}

// admit lets a client in, or tells it why not.
func (s *server) admit(c *net.UnixConn) (*conn, peer, bool) {
	admitted := newConn(c)
	who, err := peerOf(c)
	if err == nil && !slices.Contains(s.allow, who.uid) {
		err = fmt.Errorf("guard: warden: user %d may not talk to it", who.uid)
	}
	if err == nil {
		err = s.enter(admitted)
	}
	if err == nil {
		return admitted, who, true
	}
	s.log.Warn("guard: warden: connection refused", "uid", who.uid, "pid", who.pid, "error", err)
	_ = admitted.send(message{Verb: verbStanding, Err: travelling(err)}, nil) // it may be gone
	admitted.close()
	return nil, peer{}, false
}

func (s *server) enter(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.open) >= connectionsMost {
		return fmt.Errorf("guard: warden: %d connections are open already", len(s.open))
	}
	s.open[c] = struct{}{}
	return nil
}

func (s *server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
	c.close()
}

func (s *server) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.close()
	}
}

// serve answers one client until it goes away: one request at a time.
func (s *server) serve(ctx context.Context, c *conn, who peer) {
	ctx, stop := context.WithCancel(ctx)
	var pushing sync.WaitGroup
	defer pushing.Wait()
	defer stop()
	defer s.leave(c)
	if ctx.Err() != nil {
		return // closeAll may have come before this connection was counted
	}
	if s.board != nil {
		pushing.Go(func() { s.push(ctx, c) })
	}
	for {
		m, file, err := c.receive()
		if err != nil {
			if !gone(err) {
				s.log.Warn("guard: warden: connection closed", "uid", who.uid, "pid", who.pid, "error", err)
			}
			return
		}
		if err := s.handle(ctx, c, m, call{verb: m.Verb, body: m.Body, file: file, peer: who}); err != nil {
			return
		}
	}
}

// gone reports whether a client just went away.
func gone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET)
}

func (s *server) handle(ctx context.Context, c *conn, m message, asked call) error {
	if asked.file != nil {
		defer func() { _ = asked.file.Close() }()
	}
	body, file, err := s.to.answer(ctx, asked)
	if file != nil {
		defer func() { _ = file.Close() }()
	}
	reply, packErr := pack(m.ID, m.Verb, body)
	reply.ID, reply.Verb = m.ID, m.Verb
	reply.Err = travelling(errors.Join(err, packErr))
	if file == nil || reply.Err != nil {
		return c.send(reply, nil)
	}
	return c.send(reply, file)
}

// push sends every new standing, the last one when several came at once.
func (s *server) push(ctx context.Context, c *conn) {
	news, done := s.board.watch()
	defer done()
	for {
		select {
		case <-ctx.Done():
			return
		case <-news:
		}
		m, err := pack(0, verbStanding, s.board.standing())
		if err == nil {
			err = c.send(m, nil)
		}
		if err != nil {
			c.close() // ends the reader as well
			return
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
