package pluginhost

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// Exit statuses of the shim (sh(1), POSIX: 126 is "found but could not be executed").
const (
	shimFailed  = 126
	probeFailed = 125 // of a probe: standard output says which layer
)

// Shim is what a program runs when it was started with the arguments of Config.Shim: it confines its own process and
// becomes the plugin. args are those behind Config.Shim: none. It returns only when it fails, with the exit status; the
// reason is on standard error. (When it is only to try, it reports on standard output and ends the process.)
//
// It expects the control socket on descriptor 3, the sealed image on 4 and a socket with its orders on 5, and leaves 0
// to 3 open.
func Shim(args []string) int {
	runtime.LockOSThread() // what confines belongs to the thread that executes
	spec, err := orders(args)
	if err != nil {
		return shimSays(err)
	}
	if spec.Probe {
		unix.Exit(probe(spec)) // at once: os.Exit of a build with the race detector takes a second
	}
	if err := sandbox.Apply(spec); err != nil {
		return shimSays(err)
	}
	return shimSays(execute(sandbox.Image, []string{spec.Name}, os.Environ()))
}

// shimPrefix begins what the shim prints, so that the host can tell it from a plugin's words.
const shimPrefix = "plugin-exec: "

func shimSays(err error) int {
	_, _ = fmt.Fprintln(os.Stderr, shimPrefix+err.Error())
	return shimFailed
}

// orders reads what is to become of the process.
func orders(args []string) (*sandbox.Spec, error) {
	if len(args) != 0 {
		return nil, errNotForPeople
	}
	if _, err := unix.FcntlInt(sandbox.Orders, unix.F_GETFD, 0); err != nil {
		return nil, errNotForPeople
	}
	// Not closed: the answer goes there. It closes with execution.
	return sandbox.Receive(descriptor(sandbox.Orders))
}

// descriptor reads from an inherited descriptor that stays as it is.
type descriptor int

// Read is read(2).
func (d descriptor) Read(p []byte) (int, error) {
	for {
		n, err := unix.Read(int(d), p)
		switch {
		case err == nil && n == 0:
			return 0, io.EOF
		case !errors.Is(err, unix.EINTR):
			return max(n, 0), err
		}
	}
}

var errNotForPeople = errors.New("this command is the gateway's own, it is not for people")

// probe tries the layers on itself and reports.
func probe(spec *sandbox.Spec) int {
	report, ok := sandbox.Try(spec)
	_, _ = fmt.Fprintln(os.Stdout, report.Line())
	if !ok {
		return probeFailed
	}
	return 0
}

// execute runs the program behind a descriptor, which needs neither a path nor /proc (execveat(2)).
func execute(fd int, argv, env []string) error {
	args, err := syscall.SlicePtrFromStrings(argv)
	if err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	vars, err := syscall.SlicePtrFromStrings(env)
	if err != nil {
		return fmt.Errorf("environment: %w", err)
	}
	empty := [1]byte{}
	path, argp, envp := unsafe.Pointer(&empty[0]), unsafe.Pointer(&args[0]), unsafe.Pointer(&vars[0]) //nolint:gosec // no wrapper for execveat(2) exists
	_, _, errno := syscall.RawSyscall6(unix.SYS_EXECVEAT, uintptr(fd), uintptr(path), uintptr(argp), uintptr(envp), unix.AT_EMPTY_PATH, 0)
	return fmt.Errorf("execute %s: %w", argv[0], errno)
}
