//go:build !linux

package reserve

import (
	"errors"
	"fmt"
	"runtime"
)

// osDisk is missing here: only Linux' fallocate(2) is supported.
type osDisk struct{}

func (osDisk) open(path string) (blocks, int64, error) {
	return nil, 0, fmt.Errorf("%s: %s: %w", path, runtime.GOOS, errors.ErrUnsupported)
}

func isFull(error) bool { return false }
