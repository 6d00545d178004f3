package hostile

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// int80 makes a system call by the 32-bit gate, whose numbers differ: a filter that looks at numbers only lets through
// what it means to refuse.
func int80(number uint32) int32

// compat32 asks for its process id by the 32-bit gate: 20 is getpid there, and writev in the 64-bit table.
func compat32(Place) error {
	const getpid = 20 // arch/x86/entry/syscalls/syscall_32.tbl
	r := int80(getpid)
	if r == -int32(unix.ENOSYS) {
		return fmt.Errorf("%w: the kernel has no 32-bit calls", errImpossible)
	}
	if r < 0 {
		return unix.Errno(-r)
	}
	return nil
}

// x32 asks for a socket by the number that the x32 table has for it (arch/x86/entry/syscalls/syscall_64.tbl: bit 30).
func x32(Place) error {
	const bit = 0x40000000
	fd, err := call(bit|unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM)
	if err == nil {
		_ = unix.Close(int(fd))
	}
	return err
}
