//go:build !linux

package guard

import (
	"context"
	"os"
)

func readFrames(context.Context, *os.File, func([]byte, bool)) error { return errNotLinux }
