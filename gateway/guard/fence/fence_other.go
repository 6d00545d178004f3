//go:build !linux

package fence

import (
	"errors"
	"os"
)

var errLinux = errors.New("guard: fence: interfaces can only be fenced on Linux")

// Table cannot exist here.
type Table struct{}

// OpenTable returns why there is none.
func OpenTable() (*Table, error) { return nil, errLinux }

// AdoptTable returns why there is none.
func AdoptTable(*os.File) (*Table, error) { return nil, errLinux }

// File returns why there is none.
func (*Table) File() (*os.File, error) { return nil, errLinux }

// Close has nothing to close.
func (*Table) Close() error { return nil }

func openProbed(Options) (kernel, features, error) { return nil, features{}, errLinux }
