//go:build !linux

package warden

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
)

// Main needs Linux.
func Main(_ context.Context, _ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, "guard: the warden exists on Linux only")
	return 1
}

type peer struct {
	uid, pid int
}

func peerOf(*net.UnixConn) (peer, error) {
	return peer{}, fmt.Errorf("guard: warden: peer: %w", errors.ErrUnsupported)
}

func detached() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func seal() error { return fmt.Errorf("guard: keeper: seal: %w", errors.ErrUnsupported) }
