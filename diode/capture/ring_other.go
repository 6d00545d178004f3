//go:build !linux

package capture

import (
	"errors"
	"fmt"
	"time"
)

// Ring exists on Linux only: New refuses to make one elsewhere.
type Ring struct{}

// New closes the socket and says that there is no ring here.
func New(sock Socket, cfg Config) (*Ring, error) {
	return nil, errors.Join(fmt.Errorf("%w: %s", ErrNoKernel, cfg.Interface), sock.Close())
}

// ReadBurst returns ErrNoKernel.
func (*Ring) ReadBurst([]byte, func(off, n int)) error { return ErrNoKernel }

// Read returns ErrNoKernel.
func (*Ring) Read([]byte) (int, error) { return 0, ErrNoKernel }

// SetReadDeadline returns ErrNoKernel.
func (*Ring) SetReadDeadline(time.Time) error { return ErrNoKernel }

// Drops returns zero.
func (*Ring) Drops() uint64 { return 0 }

// Stats returns nothing.
func (*Ring) Stats() Stats { return Stats{} }

// Close does nothing.
func (*Ring) Close() error { return nil }
