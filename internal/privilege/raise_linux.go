package privilege

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ErrCgo says that the threads of a program which was linked with C cannot be
// reached: build it with CGO_ENABLED=0.
var ErrCgo = errors.New("privilege: this program was built with cgo, so its threads cannot be lowered: build it with CGO_ENABLED=0")

// With runs f on a thread of its own in which c is effective, and only there.
// c must be permitted. What f opens stays open; goroutines that it starts do
// not have c.
func With(c Cap, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		lower, err := Raise(c)
		if err != nil {
			runtime.UnlockOSThread() // nothing has changed
			done <- err
			return
		}
		err = f()
		if lower() == nil {
			runtime.UnlockOSThread() // else the thread ends with this goroutine
		}
		done <- err
	}()
	return <-done
}

// Raise makes c effective on the calling thread until lower is called there.
// The caller has locked the thread (runtime.LockOSThread), and does not unlock
// it when lower returns an error.
func Raise(c Cap) (lower func() error, err error) {
	permitted, effective, inheritable, err := ofThread()
	if err == nil && !permitted.Has(c) {
		err = fmt.Errorf("privilege: %s: %w", c, unix.EPERM)
	}
	if err == nil {
		err = setThread(permitted, effective|SetOf(c), inheritable)
	}
	if err != nil {
		return nil, err
	}
	return func() error { return setThread(permitted, effective, inheritable) }, nil
}

// Lower makes nothing but keep effective in every thread of this process, now
// and later, and lets nothing pass to programs that it executes. What is
// permitted stays, so that With can raise it again. In a program built with
// cgo it changes nothing and returns ErrCgo.
func Lower(keep ...Cap) error {
	permitted, _, _, err := ofThread()
	if err != nil {
		return err
	}
	var d capData
	d.put(permitted, permitted&SetOf(keep...), 0)
	//nolint:gosec // capset(2) takes two pointers
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(header())), uintptr(unsafe.Pointer(&d[0])), 0)
	switch {
	case errno == unix.ENOTSUP:
		return ErrCgo
	case errno != 0:
		return fmt.Errorf("privilege: capset: %w", errno)
	}
	return nil
}
