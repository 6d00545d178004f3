//go:build !linux

package guard

import (
	"os"

	"golang.org/x/net/bpf"
)

func openPacket(int, string, []bpf.RawInstruction) (*os.File, error) { return nil, errNotLinux }
