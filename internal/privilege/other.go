//go:build !linux

package privilege

import (
	"errors"
	"fmt"
)

// ErrCgo is returned by Lower on Linux only.
var ErrCgo = errors.New("privilege: built with cgo")

func unsupported() error {
	return fmt.Errorf("privilege: %w: capabilities exist on Linux only", errors.ErrUnsupported)
}

// ReExec needs Linux.
func ReExec([]Cap, []string, []string) error { return unsupported() }

// With needs Linux.
func With(Cap, func() error) error { return unsupported() }

// Raise needs Linux.
func Raise(Cap) (func() error, error) { return nil, unsupported() }

// Lower needs Linux.
func Lower(...Cap) error { return unsupported() }
