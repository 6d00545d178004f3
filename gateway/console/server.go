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
}

// Listen opens the socket; a stale one of a process that was killed is replaced, a living one is an error.
func Listen(ctx context.Context, path string, status func() Status) (*Server, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("console: socket path %s has %d bytes, a unix socket allows %d: choose a shorter --state", path, len(path), maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if _, err := Fetch(ctx, path); err == nil {
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
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+statusURL, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		_ = enc.Encode(status()) // the other side may have gone: nothing to be done
	})
	return &Server{listener: l, server: &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}}, nil
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = s.server.Close() })
	defer stop()
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
