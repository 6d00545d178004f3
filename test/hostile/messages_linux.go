package hostile

import (
	"errors"
	"fmt"
	"net"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlSocket finds the plugin's end of the control socket: the only one of its type. The sdk has moved it from where
// it was inherited.
func controlSocket() (uintptr, error) {
	for fd := range 256 {
		kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE)
		if err == nil && kind == unix.SOCK_SEQPACKET {
			return uintptr(fd), nil
		}
	}
	return 0, fmt.Errorf("%w: no control socket", errImpossible)
}

// onControl makes a system call whose first argument is the control socket.
func onControl(number uintptr, args ...uintptr) func(Place) error {
	return func(Place) error {
		fd, err := controlSocket()
		if err != nil {
			return err
		}
		_, err = call(number, append([]uintptr{fd}, args...)...)
		return err
	}
}

// messageAttacks try to reach sockets of the host, and what a control socket can carry.
func messageAttacks() []Attack {
	// What a filter cannot see, because it lies behind a pointer, ends at a namespace: nobody is there.
	nobody := []unix.Errno{unix.EPERM, unix.ECONNREFUSED, unix.ENOENT}
	return []Attack{
		{Name: "message/connect-console", Want: refused(), try: func(p Place) error { return connecting(unix.SOCK_STREAM, p.Console) }},
		{Name: "message/connect-abstract", Want: refused(), try: func(p Place) error { return connecting(unix.SOCK_DGRAM, "@"+p.Abstract) }},
		{Name: "message/sendto-path", Want: refused(), try: func(p Place) error { return sendingTo(p.Mailbox) }},
		{Name: "message/sendto-abstract", Want: refused(), try: func(p Place) error { return sendingTo("@" + p.Abstract) }},
		{Name: "message/sendmsg-path", Want: nobody, try: func(p Place) error { return messageTo(p.Mailbox) }},
		{Name: "message/sendmsg-abstract", Want: nobody, try: func(p Place) error { return messageTo("@" + p.Abstract) }},
		{Name: "message/sendmmsg-abstract", Want: nobody, try: func(p Place) error { return messagesTo("@" + p.Abstract) }},
		{Name: "message/sendto-fastopen", Want: refused(), try: fastOpen},
		{Name: "message/dial-console", Want: []unix.Errno{unix.EPERM, unix.ENOENT}, try: dialConsole},
		{Name: "message/socket-of-neighbour", Want: hidden(), try: func(p Place) error { return onlyOwn(p.Runtime) }},
	}
}

func connecting(kind int, name string) error {
	return ours(kind, func(fd int) error { return unix.Connect(fd, &unix.SockaddrUnix{Name: name}) })
}

func sendingTo(name string) error {
	return ours(unix.SOCK_DGRAM, func(fd int) error { return unix.Sendto(fd, []byte("hello"), 0, &unix.SockaddrUnix{Name: name}) })
}

func messageTo(name string) error {
	return ours(unix.SOCK_DGRAM, func(fd int) error {
		return unix.Sendmsg(fd, []byte("hello"), nil, &unix.SockaddrUnix{Name: name}, 0)
	})
}

// messagesTo uses sendmmsg(2), which package unix does not wrap.
func messagesTo(name string) error {
	return ours(unix.SOCK_DGRAM, func(fd int) error {
		data := []byte("hello")
		addr := rawAddress(name)
		iov := unix.Iovec{Base: &data[0]}
		iov.SetLen(len(data))
		var m struct {
			unix.Msghdr
			sent uint32
			_    uint32
		}
		m.Name, m.Namelen = (*byte)(unsafe.Pointer(&addr.data)), addr.length
		m.Iov = &iov
		m.SetIovlen(1)
		_, err := call(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&m)), 1, 0)
		return err
	})
}

type address struct {
	data   unix.RawSockaddrUnix
	length uint32
}

// rawAddress lays a name out as unix(7) has it; "@" at its beginning stands for the zero byte of an abstract one.
func rawAddress(name string) address {
	a := address{length: uint32(2 + len(name))}
	a.data.Family = unix.AF_UNIX
	for i, c := range []byte(name) {
		a.data.Path[i] = int8(c)
	}
	if name[0] == '@' {
		a.data.Path[0] = 0
	}
	return a
}

// fastOpen sends on a connected pair with MSG_FASTOPEN, which on a TCP socket carries an address. A unix socket ignores
// the flag.
func fastOpen(Place) error {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fds[0]) //nolint:errcheck // nothing of worth
	defer unix.Close(fds[1]) //nolint:errcheck // nothing of worth
	b := []byte{1}
	_, err = call(unix.SYS_SENDTO, uintptr(fds[0]), uintptr(unsafe.Pointer(&b[0])), 1, unix.MSG_FASTOPEN)
	return err
}

// dialConsole goes the way of ordinary code.
func dialConsole(p Place) error {
	c, err := net.Dial("unix", p.Console) //nolint:noctx // answers or fails at once
	if err == nil {
		_ = c.Close()
	}
	return err
}

// onlyOwn looks for sockets of other plugins: it works when there is more than one plugin's directory to see.
func onlyOwn(runtime string) error {
	entries, err := os.ReadDir(runtime)
	if errors.Is(err, unix.EACCES) {
		return unix.ENOENT // as good as not there
	}
	if err != nil {
		return err
	}
	if len(entries) <= 1 {
		return unix.ENOENT
	}
	return nil
}
