package sandbox

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// filterCalls puts the system call filter on the calling thread; no_new_privs must be set.
func filterCalls(*Spec) error {
	on, err := arch.GetInfo("")
	if err != nil || !supported(on) {
		return fmt.Errorf("there is none for %s", runtime.GOARCH)
	}
	instructions, err := program(on, os.Getpid())
	if err != nil {
		return err
	}
	code, err := bpf.Assemble(instructions)
	if err != nil {
		return fmt.Errorf("assemble: %w", err)
	}
	filters := make([]unix.SockFilter, 0, len(code))
	for _, c := range code {
		filters = append(filters, unix.SockFilter{Code: c.Op, Jt: c.Jt, Jf: c.Jf, K: c.K})
	}
	prog := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&prog))) //nolint:gosec // no wrapper exists
	runtime.KeepAlive(filters)
	if errno != 0 {
		return fmt.Errorf("this kernel refuses it (CONFIG_SECCOMP_FILTER): %w", errno)
	}
	return nil
}
