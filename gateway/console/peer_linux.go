package console

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

func peerCredentials(c net.Conn) (uid uint32, pid int32, err error) {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, 0, fmt.Errorf("console: %T is no unix socket", c)
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, 0, fmt.Errorf("console: %w", err)
	}
	var cred *unix.Ucred
	var gerr error
	err = raw.Control(func(fd uintptr) { cred, gerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, gerr); err != nil {
		return 0, 0, fmt.Errorf("console: who is at the socket: %w", err)
	}
	return cred.Uid, cred.Pid, nil
}
