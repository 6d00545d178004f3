package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	// maxAnswer bounds what Fetch reads (ours).
	maxAnswer = 64 << 20
	statusURL = "/v1/status"
)

// Server serves one node's status.
type Server struct {
	listener net.Listener
	server   *http.Server

	mu   sync.RWMutex // held while the status function runs; guards over
	over bool         // it must not be called any more
}

// Listen opens the socket; a stale one of a process that was killed is replaced, a living one is an error.
func Listen(ctx context.Context, path string, status func() Status) (*Server, error) {
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
	s := &Server{listener: l}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusURL, func(w http.ResponseWriter, _ *http.Request) { s.answer(w, status) })
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	return s, nil
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
	st, ok := s.ask(status)
	if !ok {
		http.Error(w, "the node stops", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(st) // the other side may have gone: nothing to be done
}

func (s *Server) ask(status func() Status) (Status, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.over {
		return Status{}, false
	}
	return status(), true
}

// end waits for calls of the status function and lets no other begin.
func (s *Server) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
}

// Run serves until ctx ends. The status function is not called any more when it has returned.
func (s *Server) Run(ctx context.Context) error {
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

// Fetch asks the node behind a socket for its status.
func Fetch(ctx context.Context, path string) (Status, error) {
	var st Status
	raw, err := FetchRaw(ctx, path)
	if err != nil {
		return st, err
	}
	if err := json.Unmarshal(raw, &st); err != nil {
		return st, fmt.Errorf("console: %s: %w", path, err)
	}
	return st, nil
}

// FetchRaw returns the status as the node wrote it, so that fields that this program does not know are not lost.
func FetchRaw(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}
	c := &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://node"+statusURL, nil)
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, fmt.Errorf("console: %s: no node answers: %w", path, err)
	}
	defer res.Body.Close() //nolint:errcheck // read only
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("console: %s: %s", path, res.Status)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("console: %s: %w", path, err)
	}
	return b, nil
}
