package sandbox

import (
	"math"

	"golang.org/x/sys/unix"
)

// plain are the system calls that a plugin may make with any arguments: what the Go runtime, a static C library and
// work on files and pipes that are open or allowed need. A name that an architecture does not have is not there.
//
// Not among them, on purpose: everything that makes or joins a namespace, mounts, traces or reads another process,
// loads code into the kernel, keeps keys, opens by handle, changes owners, or starts a program. Nor is sendmsg: what it
// sends to stands in memory that a filter cannot see, and a user has only so many descriptors on their way, the gateway's
// among them.
func plain() []string {
	return []string{
		// What the Go runtime does all the time.
		"futex", "nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time", "sched_yield",
		"epoll_create", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd2",
		"read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "preadv2", "pwritev2", "close",
		"recvfrom", "recvmsg", "recvmmsg", "splice", "sendfile", "copy_file_range",
		// Memory.
		"mmap", "munmap", "mprotect", "madvise", "mremap", "brk", "mincore", "msync", "membarrier",
		// Threads, signals, time.
		"set_robust_list", "get_robust_list", "rseq", "set_tid_address", "exit", "exit_group", "restart_syscall",
		"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending", "rt_sigsuspend", "sigaltstack",
		"sched_getaffinity", "sched_getparam", "sched_getscheduler", "getcpu", "arch_prctl",
		"timer_create", "timer_settime", "timer_gettime", "timer_delete", "timer_getoverrun", "setitimer", "getitimer",
		"timerfd_create", "timerfd_settime", "timerfd_gettime", "alarm", "pause", "wait4", "waitid",
		"poll", "ppoll", "select", "pselect6",
		// Descriptors and files. Where files are is the empty root's and landlock's matter.
		"close_range", "lseek", "fstat", "newfstatat", "stat", "lstat", "statx", "fstatfs", "statfs",
		"access", "faccessat", "faccessat2", "readlink", "readlinkat", "getdents64", "getdents", "getcwd", "chdir", "fchdir",
		"ftruncate", "truncate", "fallocate", "fadvise64", "readahead", "fsync", "fdatasync", "sync_file_range", "flock",
		"mkdir", "mkdirat", "rmdir", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat",
		"utimensat", "umask", "pipe", "pipe2", "dup", "dup2", "dup3",
		// Who am I.
		"getpid", "gettid", "getppid", "getpgrp", "getpgid", "getsid", "getuid", "geteuid", "getgid", "getegid",
		"getresuid", "getresgid", "getgroups", "getrlimit", "getrusage", "getpriority", "capget", "sysinfo", "uname",
		"times", "getrandom",
		// Sockets that exist. What may be made stands in checked.
		"bind", "listen", "accept", "accept4", "shutdown", "getsockopt", "getsockname", "getpeername",
	}
}

// later are calls for which a C library has a second way that it takes only when the kernel says that it does not
// know them (ENOSYS); their second ways are judged by their own arguments.
func later() []string {
	return []string{"clone3", "openat2", "fchmodat2", "io_uring_setup", "io_uring_enter", "io_uring_register"}
}

// check is a condition on one argument of a system call: argument & mask is one of the values.
type check struct {
	arg    uint32
	mask   uint64
	values []uint64
}

// rule allows a call when all its checks hold.
type rule struct {
	name   string
	checks []check
}

const (
	all       = math.MaxUint64
	low       = math.MaxUint32                         // of an argument that the kernel takes as an int
	sockFlags = unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC // of a socket's type
	msgFlags  = unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL | unix.MSG_MORE | unix.MSG_EOR

	// setVMA is PR_SET_VMA of linux/prctl.h, with which the Go runtime names its memory.
	setVMA = 0x53564d41
	// cloneNew are the flags of linux/sched.h that make namespaces: NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER,
	// NEWPID and NEWNET.
	cloneNew = 0x80 | 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x10000000 | 0x20000000 | 0x40000000
)

// checked are the calls that are allowed with some arguments only. self is the process's own number.
func checked(self uint64) []rule {
	unixOnly := check{0, low, []uint64{unix.AF_UNIX}}
	// A file that runs as its owner would be a way for other users of the host to become the plugin's user, which
	// without root is the gateway's.
	plainMode := func(arg uint32) []check { return []check{{arg, unix.S_ISUID | unix.S_ISGID, []uint64{0}}} }
	return []rule{
		{"openat", plainMode(3)},
		{"open", plainMode(2)},
		{"creat", plainMode(1)},
		{"chmod", plainMode(1)},
		{"fchmod", plainMode(1)},
		{"fchmodat", plainMode(2)},
		// A stream to nowhere: connect is not there. A datagram socket could send to a name.
		{"socket", []check{unixOnly, {1, low &^ sockFlags, []uint64{unix.SOCK_STREAM, unix.SOCK_SEQPACKET}}}},
		{"socketpair", []check{unixOnly, {1, low &^ sockFlags, []uint64{unix.SOCK_STREAM, unix.SOCK_SEQPACKET}}}},
		// send(2): without an address, and without flags that could connect.
		{"sendto", []check{{3, low &^ msgFlags, []uint64{0}}, {4, all, []uint64{0}}}},
		{"setsockopt", []check{{1, low, []uint64{unix.SOL_SOCKET}}, {2, low, []uint64{
			unix.SO_REUSEADDR, unix.SO_BROADCAST, unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_KEEPALIVE, unix.SO_LINGER,
			unix.SO_PASSCRED, unix.SO_RCVLOWAT, unix.SO_RCVTIMEO, unix.SO_SNDTIMEO,
		}}}},
		// A thread, never a process: a plugin has no program that it could start.
		{"clone", []check{{0, cloneNew | unix.CLONE_THREAD, []uint64{unix.CLONE_THREAD}}}},
		{"kill", []check{{0, low, []uint64{self}}}},
		{"tgkill", []check{{0, low, []uint64{self}}}},
		{"prlimit64", []check{{0, low, []uint64{0, self}}}},
		{"prctl", []check{{0, low, []uint64{unix.PR_SET_NAME, unix.PR_GET_NAME, setVMA}}}},
		{"fcntl", []check{{1, low, []uint64{
			unix.F_DUPFD, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL, unix.F_GETLK, unix.F_SETLK, unix.F_SETLKW,
			unix.F_OFD_GETLK, unix.F_OFD_SETLK, unix.F_OFD_SETLKW, unix.F_DUPFD_CLOEXEC, unix.F_GETPIPE_SZ, unix.F_SETPIPE_SZ,
		}}}},
		// The plugin itself: the image closes with it.
		{"execveat", []check{{0, low, []uint64{Image}}, {4, low, []uint64{unix.AT_EMPTY_PATH}}}},
	}
}
