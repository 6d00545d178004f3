package pluginhost

import (
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// shimFailed is the exit status for "found but could not be executed" (sh(1), POSIX).
const shimFailed = 126

// Shim is what a program runs when it was started with the arguments of Config.Shim: it confines its own process and
// becomes the plugin. args are those behind Config.Shim: the core's process id and the plugin's name for argv[0]. It
// returns only when it fails, with the exit status; the reason is on standard error.
//
// It expects the control socket on descriptor 3 and the sealed image on descriptor 4, and leaves 0 to 3 open.
func Shim(args []string) int {
	runtime.LockOSThread() // no_new_privs and the death signal belong to the thread that executes
	err := confine(args)
	if err == nil {
		err = execute(imageFile, args[1:], os.Environ())
	}
	_, _ = fmt.Fprintln(os.Stderr, "plugin-exec:", err)
	return shimFailed
}

// confine takes away what the plugin is not to have.
func confine(args []string) error {
	if len(args) != 2 {
		return errors.New("this command is the gateway's own, it is not for people")
	}
	parent, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("parent %q: %w", args[0], err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	// The host has set the signal, but a change of user clears it, and the parent may have died before it was set.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("parent death signal: %w", err)
	}
	if os.Getppid() != parent {
		return errors.New("the gateway has ended")
	}
	if unix.Getpgrp() != os.Getpid() {
		return errors.New("not in a process group of its own")
	}
	unix.Umask(0o077)
	// The image stays open until the kernel has read it: all from 4 on close at exec.
	if err := unix.CloseRange(imageFile, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close descriptors (close_range, Linux 5.11): %w", err)
	}
	return nil
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
