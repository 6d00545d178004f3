package warden

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// peer is who stands at the other end of a connection, by the kernel's word
// (SO_PEERCRED, unix(7)).
type peer struct {
	uid, pid int
}

func peerOf(c *net.UnixConn) (peer, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return peer{}, fmt.Errorf("guard: warden: peer: %w", err)
	}
	var cred *unix.Ucred
	var got error
	err = raw.Control(func(fd uintptr) {
		cred, got = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err := errors.Join(err, got); err != nil {
		return peer{}, fmt.Errorf("guard: warden: peer: %w", err)
	}
	return peer{uid: int(cred.Uid), pid: int(cred.Pid)}, nil
}
