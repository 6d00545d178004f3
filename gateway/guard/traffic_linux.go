package guard

import (
	"context"
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// machineWatcher opens its packet sockets itself.
func machineWatcher() watcher {
	return looker(func(_ context.Context, index int, name string) (*os.File, error) { return OpenLook(index, name) })
}

// readFrames shows each the beginning of every frame until ctx ends. The bytes
// are each's until it returns.
func readFrames(ctx context.Context, file *os.File, each func(head []byte, otherHost bool)) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	buf := make([]byte, headBytes)
	err = raw.Read(func(fd uintptr) bool {
		for ctx.Err() == nil {
			n, from, err := unix.Recvfrom(int(fd), buf, 0)
			if err != nil {
				return false // nothing there now, or the interface went down: wait for more or the end
			}
			at, ok := from.(*unix.SockaddrLinklayer)
			each(buf[:n], ok && at.Pkttype == unix.PACKET_OTHERHOST)
		}
		return true
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}
