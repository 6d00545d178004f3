package hostile

import (
	"slices"

	"golang.org/x/sys/unix"
)

// callAttacks are the system calls that nothing in a plugin needs, with arguments that no call takes: inside the filter
// answers, outside the kernel finds fault with the arguments. What works even so is on a list of its own.
func callAttacks() []Attack {
	var out []Attack
	for _, c := range deniedCalls() {
		a := Attack{Name: "call/" + c.name, Want: refused(), try: senseless(c.number), Uncontrolled: c.uncontrolled, Needs: c.needs}
		if c.absent {
			a.Want = missing()
		}
		out = append(out, a)
	}
	return out
}

// senseless calls with -1 in all six arguments: neither a descriptor nor an address, and in flags every unknown bit.
func senseless(number uintptr) func(Place) error {
	const none = ^uintptr(0)
	return calling(number, none, none, none, none, none, none)
}

type deniedCall struct {
	name         string
	number       uintptr
	absent       bool // ENOSYS instead of EPERM
	needs        Need
	uncontrolled string
}

// dangerous is why a call is not made outside.
const dangerous = "outside it works on whatever the arguments"

func deniedCalls() []deniedCall {
	return slices.Concat(callsOfFiles(), callsOfProcesses(), callsOfMachine(), callsOfMemory())
}

func callsOfFiles() []deniedCall {
	return []deniedCall{
		{name: "mount", number: unix.SYS_MOUNT},
		{name: "umount2", number: unix.SYS_UMOUNT2},
		{name: "pivot_root", number: unix.SYS_PIVOT_ROOT, needs: Namespace},
		{name: "chroot", number: unix.SYS_CHROOT},
		{name: "fsopen", number: unix.SYS_FSOPEN, needs: Namespace},
		{name: "fsconfig", number: unix.SYS_FSCONFIG},
		{name: "fsmount", number: unix.SYS_FSMOUNT, needs: Namespace},
		{name: "fspick", number: unix.SYS_FSPICK, needs: Namespace},
		{name: "open_tree", number: unix.SYS_OPEN_TREE},
		{name: "move_mount", number: unix.SYS_MOVE_MOUNT, needs: Namespace},
		{name: "mount_setattr", number: unix.SYS_MOUNT_SETATTR},
		{name: "name_to_handle_at", number: unix.SYS_NAME_TO_HANDLE_AT},
		{name: "open_by_handle_at", number: unix.SYS_OPEN_BY_HANDLE_AT, needs: Root},
		{name: "fanotify_init", number: unix.SYS_FANOTIFY_INIT, needs: Root},
		{name: "fanotify_mark", number: unix.SYS_FANOTIFY_MARK},
		{name: "quotactl", number: unix.SYS_QUOTACTL},
		{name: "quotactl_fd", number: unix.SYS_QUOTACTL_FD},
		{name: "acct", number: unix.SYS_ACCT, needs: Root},
		{name: "swapon", number: unix.SYS_SWAPON, needs: Root},
		{name: "swapoff", number: unix.SYS_SWAPOFF, needs: Root},
		{name: "vmsplice", number: unix.SYS_VMSPLICE},
		{name: "connect", number: unix.SYS_CONNECT},
		{name: "ioctl", number: unix.SYS_IOCTL},
	}
}

func callsOfProcesses() []deniedCall {
	return []deniedCall{
		{name: "ptrace", number: unix.SYS_PTRACE},
		{name: "process_vm_readv", number: unix.SYS_PROCESS_VM_READV},
		{name: "process_vm_writev", number: unix.SYS_PROCESS_VM_WRITEV},
		{name: "process_madvise", number: unix.SYS_PROCESS_MADVISE},
		{name: "process_mrelease", number: unix.SYS_PROCESS_MRELEASE},
		{name: "pidfd_getfd", number: unix.SYS_PIDFD_GETFD},
		{name: "kcmp", number: unix.SYS_KCMP},
		{name: "unshare", number: unix.SYS_UNSHARE},
		{name: "setns", number: unix.SYS_SETNS},
		{name: "clone3", number: unix.SYS_CLONE3, absent: true},
		{name: "execve", number: unix.SYS_EXECVE},
		{name: "execveat", number: unix.SYS_EXECVEAT},
		{name: "memfd_create", number: unix.SYS_MEMFD_CREATE},
		{name: "setuid", number: unix.SYS_SETUID},
		{name: "setgid", number: unix.SYS_SETGID},
		{name: "setreuid", number: unix.SYS_SETREUID, uncontrolled: dangerous},
		{name: "setresuid", number: unix.SYS_SETRESUID, uncontrolled: dangerous},
		{name: "setfsuid", number: unix.SYS_SETFSUID, uncontrolled: dangerous},
		{name: "setgroups", number: unix.SYS_SETGROUPS, needs: Root},
		{name: "capset", number: unix.SYS_CAPSET},
		{name: "prctl", number: unix.SYS_PRCTL},
		{name: "personality", number: unix.SYS_PERSONALITY, uncontrolled: "outside these arguments only ask"},
		{name: "migrate_pages", number: unix.SYS_MIGRATE_PAGES},
		{name: "move_pages", number: unix.SYS_MOVE_PAGES},
		{name: "setdomainname", number: unix.SYS_SETDOMAINNAME, needs: Namespace},
		{name: "sethostname", number: unix.SYS_SETHOSTNAME, needs: Namespace},
	}
}

func callsOfMachine() []deniedCall {
	return []deniedCall{
		{name: "reboot", number: unix.SYS_REBOOT, needs: Root},
		{name: "kexec_load", number: unix.SYS_KEXEC_LOAD, needs: Root},
		{name: "init_module", number: unix.SYS_INIT_MODULE, needs: Root},
		{name: "finit_module", number: unix.SYS_FINIT_MODULE, needs: Root},
		{name: "delete_module", number: unix.SYS_DELETE_MODULE, needs: Root},
		{name: "settimeofday", number: unix.SYS_SETTIMEOFDAY},
		{name: "clock_settime", number: unix.SYS_CLOCK_SETTIME},
		{name: "clock_adjtime", number: unix.SYS_CLOCK_ADJTIME},
		{name: "adjtimex", number: unix.SYS_ADJTIMEX},
		{name: "syslog", number: unix.SYS_SYSLOG, needs: Root},
		{name: "vhangup", number: unix.SYS_VHANGUP, uncontrolled: dangerous, needs: Root},
		{name: "bpf", number: unix.SYS_BPF},
		{name: "perf_event_open", number: unix.SYS_PERF_EVENT_OPEN},
		{name: "io_uring_setup", number: unix.SYS_IO_URING_SETUP, absent: true},
		{name: "io_uring_enter", number: unix.SYS_IO_URING_ENTER, absent: true},
		{name: "io_uring_register", number: unix.SYS_IO_URING_REGISTER, absent: true},
		{name: "add_key", number: unix.SYS_ADD_KEY},
		{name: "request_key", number: unix.SYS_REQUEST_KEY},
		{name: "keyctl", number: unix.SYS_KEYCTL},
		{name: "lookup_dcookie", number: unix.SYS_LOOKUP_DCOOKIE},
	}
}

func callsOfMemory() []deniedCall {
	return []deniedCall{
		{name: "shmget", number: unix.SYS_SHMGET},
		{name: "shmat", number: unix.SYS_SHMAT},
		{name: "msgget", number: unix.SYS_MSGGET, uncontrolled: dangerous},
		{name: "semget", number: unix.SYS_SEMGET},
		{name: "mq_open", number: unix.SYS_MQ_OPEN},
		{name: "mbind", number: unix.SYS_MBIND},
		{name: "set_mempolicy", number: unix.SYS_SET_MEMPOLICY},
		{name: "remap_file_pages", number: unix.SYS_REMAP_FILE_PAGES},
		{name: "memfd_secret", number: unix.SYS_MEMFD_SECRET},
		{name: "mlockall", number: unix.SYS_MLOCKALL},
	}
}
