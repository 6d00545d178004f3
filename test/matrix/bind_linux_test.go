package matrix_test

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// bindTo binds a socket to a device by name, as others do; "" to none.
func bindTo(device string) func(_, _ string, raw syscall.RawConn) error {
	return func(_, _ string, raw syscall.RawConn) error {
		if device == "" {
			return nil
		}
		var err error
		if ctl := raw.Control(func(fd uintptr) {
			err = unix.SetsockoptString(int(fd), unix.SOL_SOCKET, unix.SO_BINDTODEVICE, device)
		}); ctl != nil {
			return ctl
		}
		return err
	}
}
