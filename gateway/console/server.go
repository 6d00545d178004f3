package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	// SocketName is the socket's file in a node's directory.
	SocketName = "status.sock"
	// maxSocketPath is what a unix socket address holds, unix(7): 108 bytes with the final zero.
	maxSocketPath = 107
	statusURL     = "/v1/status"
)

// Server serves one node's status.
type Server struct {
	listener net.Listener
	server   *http.Server
	control  control

	mu   sync.RWMutex // held while one of the node's functions runs; guards over
	over bool         // none must be called any more
}

// Listen opens the socket; a stale one of a process that was killed is replaced, a living one is an error.
func Listen(ctx context.Context, path string, status func() Status, opts ...Option) (*Server, error) {
	l, err := listen(ctx, path)
	if err != nil {
		return nil, err
	}
	s := &Server{listener: l}
	for _, o := range opts {
		o(&s.control)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusURL, func(w http.ResponseWriter, _ *http.Request) { s.answer(w, status) })
	s.routes(mux)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ConnContext: withPeer}
	return s, nil
}

func listen(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("console: socket path %s has %d bytes, a unix socket allows %d: choose a shorter --state", path, len(path), maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if st, err := os.Lstat(path); err == nil && st.IsDir() {
		return nil, fmt.Errorf("console: %s is a directory: move it away", path)
	}
	if alive(ctx, path) {
		return nil, fmt.Errorf("console: %s: another process serves this node", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("console: %w", err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("console: %w", err)
	}
	return l, nil
}

// alive reports whether somebody listens on the socket, even one that has no time to answer yet.
func alive(ctx context.Context, path string) bool {
	c, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err != nil {
		return false
	}
	_ = c.Close()
	return true
}

func (s *Server) answer(w http.ResponseWriter, status func() Status) {
	var st Status
	if !s.during(func() { st = status() }) {
		write(w, http.StatusServiceUnavailable, errStopping())
		return
	}
	write(w, http.StatusOK, st)
}

// errStopping is what a caller gets who comes too late.
func errStopping() *Error { return Errorf(CodeNotNow, "the node stops") }

func write(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(answer) // the other side may have gone: nothing to be done
}

// during calls f, unless the node's functions must not be called any more.
func (s *Server) during(f func()) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.over {
		return false
	}
	f()
	return true
}

// end waits for calls of the node's functions and lets no other begin.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// Run serves until ctx ends. No function of the node is called any more when it has returned; those that run see their
// context end.
func (s *Server) Run(ctx context.Context) error {
	s.server.BaseContext = func(net.Listener) context.Context { return ctx }
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()
	defer s.end()
	if err := s.server.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// Close gives the socket up; Run, if it runs, returns.
func (s *Server) Close() error {
	err := s.server.Close()
	if cerr := s.listener.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) {
		err = errors.Join(err, cerr)
	}
	return err
}
