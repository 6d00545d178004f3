package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"

	"golang.org/x/sys/unix"
)

// Descriptors of the process that is confined, after stdio.
const (
	Control = 3 // the control socket, which the plugin keeps; its other end is the gateway's
	Image   = 4 // the program
	Orders  = 5 // a stream socket: the Spec comes, the socket directory goes
)

// Apply confines the calling thread, which must be locked to its goroutine and must execute the plugin next. The error
// is a *LayerError when a layer is to blame; the process must end then.
func Apply(s *Spec) error {
	if err := alone(); err != nil {
		return err
	}
	for _, step := range []struct {
		layer string
		apply func(*Spec) error
	}{
		{Namespaces, checkNamespaces},
		{EmptyRoot, enterRoot},
		{ResourceLimits, limitResources},
		{NoPrivileges, dropPrivileges},
		{NoPrivileges, checkPaths},
		{Landlock, restrictFiles},
		{Filter, filterCalls},
	} {
		if !s.has(step.layer) {
			continue
		}
		if err := step.apply(s); err != nil {
			return &LayerError{Layer: step.layer, Err: err}
		}
	}
	return nil
}

// alone prepares what is no layer: a mask, a process group of its own, and no descriptor beyond the control socket.
func alone() error {
	if unix.Getpgrp() != os.Getpid() {
		return errors.New("not in a process group of its own")
	}
	unix.Umask(0o077)
	// The image stays open until the kernel has read it: all from there on close at exec.
	if err := unix.CloseRange(Image, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors (close_range, Linux 5.11): %w", err)
	}
	return nil
}

// checkNamespaces makes sure that the host has made them: the first process of a pid namespace is number 1.
func checkNamespaces(*Spec) error {
	if pid := os.Getpid(); pid != 1 {
		return fmt.Errorf("process %d is not the first one of a namespace", pid)
	}
	// The last one, as it is to begin where the host has put this process meanwhile.
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("control groups: %w", err)
	}
	return nil
}

// checkAlive makes sure that the gateway lives, after the death signal was set: the parent's number says nothing in a
// pid namespace, but its end of the control socket closes with it.
func checkAlive() error {
	fds := []unix.PollFd{{Fd: Control, Events: unix.POLLRDHUP}}
	if _, err := unix.Poll(fds, 0); err != nil {
		return fmt.Errorf("control socket: %w", err)
	}
	if fds[0].Revents&(unix.POLLHUP|unix.POLLRDHUP|unix.POLLNVAL|unix.POLLERR) != 0 {
		return errors.New("the gateway has ended")
	}
	return nil
}
