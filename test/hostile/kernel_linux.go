package hostile

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernelAttacks go for the large and seldom used parts of the kernel, with arguments that would be good.
func kernelAttacks() []Attack {
	return []Attack{
		{Name: "kernel/io-uring", Want: missing(), try: ioUring},
		{Name: "kernel/bpf-map", Want: refused(), Needs: Root, try: bpfMap},
		{Name: "kernel/perf-event", Want: refused(), try: perfEvent},
		{Name: "kernel/keyring", Want: refused(), try: calling(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, uintptr(sessionKeyring()), 1)},
		{Name: "kernel/add-key", Want: refused(), try: addKey},
		{Name: "kernel/userfaultfd", Want: []syscall.Errno{unix.EPERM, unix.ENOSYS}, try: userFault},
		{Name: "kernel/shared-memory", Want: refused(), try: sharedMemory},
		{Name: "kernel/message-queue", Want: refused(), try: calling(unix.SYS_MSGGET, 0, 0o1600)},   // IPC_PRIVATE, IPC_CREAT
		{Name: "kernel/log", Want: refused(), Needs: Root, try: calling(unix.SYS_SYSLOG, 10, 0, 0)}, // SYSLOG_ACTION_SIZE_BUFFER
		{Name: "kernel/watch-files", Want: refused(), try: inotify},
		{Name: "kernel/terminal-ioctl", Want: refused(), try: onControl(unix.SYS_IOCTL, unix.TIOCOUTQ)},
		{Name: "kernel/32-bit-calls", Want: []syscall.Errno{Killed}, Alone: true, try: compat32},
		{Name: "kernel/x32-calls", Want: []syscall.Errno{unix.EPERM, unix.ENOSYS, Killed}, Alone: true, try: x32, Uncontrolled: "kernels are mostly built without them"},
	}
}

// Killed stands for the end of the process by SIGSYS (seccomp(2)), as the test sees it.
const Killed = syscall.Errno(4094)

func sessionKeyring() uint32 { return ^uint32(2) } // KEY_SPEC_SESSION_KEYRING is -3

func ioUring(Place) error {
	var params [120]byte // struct io_uring_params
	fd, err := call(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params[0])))
	if err == nil {
		_ = unix.Close(int(fd))
	}
	return err
}

// bpfMap makes an array of one element (bpf(2)).
func bpfMap(Place) error {
	attr := struct{ kind, key, value, entries, flags uint32 }{kind: unix.BPF_MAP_TYPE_ARRAY, key: 4, value: 4, entries: 1}
	fd, err := call(unix.SYS_BPF, unix.BPF_MAP_CREATE, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	if err == nil {
		_ = unix.Close(int(fd))
	}
	return err
}

// perfEvent counts the process's own page faults.
func perfEvent(Place) error {
	attr := unix.PerfEventAttr{Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_PAGE_FAULTS, Bits: unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv}
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, 0, -1, -1, unix.PERF_FLAG_FD_CLOEXEC)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func addKey(Place) error {
	_, err := unix.AddKey("user", "attack", []byte("payload"), unix.KEY_SPEC_PROCESS_KEYRING)
	return err
}

func userFault(Place) error {
	const userModeOnly = 1 // UFFD_USER_MODE_ONLY
	fd, err := call(unix.SYS_USERFAULTFD, unix.O_CLOEXEC|userModeOnly)
	if err == nil {
		_ = unix.Close(int(fd))
	}
	return err
}

// sharedMemory makes a segment of System V and removes it (shmget(2)).
func sharedMemory(Place) error {
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600)
	if err == nil {
		_, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
	}
	return err
}

func inotify(Place) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
