//go:build !linux

package spool

import (
	"errors"
	"fmt"
	"runtime"
)

func newFileSystem(string) (fileSystem, error) {
	return nil, fmt.Errorf("spool: %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func isFull(error) bool { return false }
