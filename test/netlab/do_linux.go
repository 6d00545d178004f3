package netlab

import (
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Do runs f on a thread that is inside the namespace. Sockets that f opens
// belong to the namespace for their whole life; goroutines that f starts do
// not run in it.
func (n *Namespace) Do(f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine, so that no other
		// goroutine finds itself in the namespace.
		runtime.LockOSThread()
		err := n.enter()
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (n *Namespace) enter() error {
	file, err := os.Open(n.Path())
	if err != nil {
		return fmt.Errorf("netlab: %w", err)
	}
	defer func() { _ = file.Close() }()
	if err := unix.Setns(int(file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("netlab: enter %s: %w", n.Name, err)
	}
	return nil
}
