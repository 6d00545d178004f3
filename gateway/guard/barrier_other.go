//go:build !linux

package guard

import (
	"errors"
	"syscall"
)

var errNotLinux = errors.New("guard: only Linux ties a socket to an interface: run Sluice on Linux")

func probe() (barrier, bool, error) { return byAddress, false, errNotLinux }

func (b barrier) tie(syscall.RawConn, int, string) error { return errNotLinux }

func datagramOptions(syscall.RawConn, bool) error { return errNotLinux }

func growReceiveBuffer(syscall.RawConn, int) (int, error) { return 0, errNotLinux }
