package sandbox

import (
	"encoding/binary"
	"slices"
	"testing"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const self = 1234 // process id

// judge runs a filter on one call. The virtual machine loads big endian, as networks do: every word is laid out so.
func judge(t *testing.T, vm *bpf.VM, id arch.AuditArch, number uint32, args ...uint64) int {
	t.Helper()
	data := make([]byte, 64) // struct seccomp_data, seccomp(2)
	binary.BigEndian.PutUint32(data[dataCall:], number)
	binary.BigEndian.PutUint32(data[dataArch:], uint32(id))
	for i, a := range args {
		binary.BigEndian.PutUint32(data[dataArgs+8*i:], uint32(a))
		binary.BigEndian.PutUint32(data[dataArgs+8*i+4:], uint32(a>>32))
	}
	verdict, err := vm.Run(data)
	if err != nil {
		t.Fatal(err)
	}
	return verdict
}

func machine(t *testing.T, on *arch.Info) *bpf.VM {
	t.Helper()
	code, err := program(on, self)
	if err != nil {
		t.Fatal(err)
	}
	vm, err := bpf.NewVM(code)
	if err != nil {
		t.Fatal(err)
	}
	if len(code) > 4096 { // BPF_MAXINSNS
		t.Errorf("%d instructions", len(code))
	}
	return vm
}

const (
	yes  = retAllow
	no   = retErrno | int(unix.EPERM)
	what = retErrno | int(unix.ENOSYS)

	threadFlags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_SYSVSEM | unix.CLONE_THREAD
)

func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		call string
		args []uint64
		want int
	}{
		{"read", nil, yes},
		{"futex", nil, yes},
		{"openat", []uint64{0xffffff9c, 0xc000010000, unix.O_CREAT | unix.O_RDWR, 0o666}, yes},
		{"openat", []uint64{0xffffff9c, 0xc000010000, unix.O_CREAT | unix.O_RDWR, 0o4755}, no},
		{"openat2", nil, what},
		{"fchmod", []uint64{3, 0o1777}, yes},
		{"fchmod", []uint64{3, 0o2755}, no},
		{"fchmodat", []uint64{3, 0xc000010000, 0o4755}, no},
		{"socket", []uint64{unix.AF_UNIX, unix.SOCK_STREAM | unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK, 0}, yes},
		{"socket", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM, 0}, no},
		{"socket", []uint64{unix.AF_INET, unix.SOCK_STREAM, 0}, no},
		{"socket", []uint64{unix.AF_INET6, unix.SOCK_DGRAM, 0}, no},
		{"socket", []uint64{unix.AF_PACKET, unix.SOCK_RAW, 0x300}, no},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, 0}, no},
		{"socket", []uint64{unix.AF_VSOCK, unix.SOCK_STREAM, 0}, no},
		{"socket", []uint64{unix.AF_UNIX | 1<<32, unix.SOCK_STREAM, 0}, yes}, // the kernel takes an int
		{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET | unix.SOCK_CLOEXEC}, yes},
		{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_DGRAM}, no},
		{"connect", []uint64{5, 0xc000010000, 110}, no},
		{"sendto", []uint64{5, 0xc000010000, 10, unix.MSG_NOSIGNAL, 0, 0}, yes},
		{"sendto", []uint64{5, 0xc000010000, 10, 0, 0xc000020000, 16}, no},
		{"sendto", []uint64{5, 0xc000010000, 10, 0, 0xc000000000 &^ 0xffffffff, 16}, no}, // only the upper half is set
		{"sendto", []uint64{5, 0xc000010000, 10, unix.MSG_FASTOPEN, 0, 0}, no},
		{"sendto", []uint64{5, 0xc000010000, 10, unix.MSG_OOB, 0, 0}, no},
		{"setsockopt", []uint64{5, unix.SOL_SOCKET, unix.SO_RCVBUF}, yes},
		{"setsockopt", []uint64{5, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER}, no},
		{"setsockopt", []uint64{5, unix.SOL_SOCKET, unix.SO_BINDTODEVICE}, no},
		{"setsockopt", []uint64{5, unix.SOL_IP, unix.IP_ADD_MEMBERSHIP}, no},
		{"setsockopt", []uint64{5, unix.SOL_TCP, unix.SO_RCVBUF}, no},
		{"clone", []uint64{threadFlags}, yes},
		{"clone", []uint64{uint64(unix.SIGCHLD)}, no},
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_VFORK | uint64(unix.SIGCHLD)}, no},
		{"clone", []uint64{threadFlags | unix.CLONE_NEWUSER}, no},
		{"clone", []uint64{threadFlags | unix.CLONE_NEWNET}, no},
		{"clone", []uint64{threadFlags | unix.CLONE_NEWTIME}, no},
		{"clone3", nil, what},
		{"io_uring_setup", nil, what},
		{"io_uring_enter", nil, what},
		{"kill", []uint64{self, 9}, yes},
		{"kill", []uint64{1, 9}, no},
		{"kill", []uint64{^uint64(0), 9}, no},
		{"tgkill", []uint64{self, 7, 23}, yes},
		{"tgkill", []uint64{1, 1, 9}, no},
		{"prlimit64", []uint64{0, 7}, yes},
		{"prlimit64", []uint64{1, 7}, no},
		{"prctl", []uint64{unix.PR_SET_NAME}, yes},
		{"prctl", []uint64{setVMA, 0}, yes},
		{"prctl", []uint64{unix.PR_SET_PDEATHSIG, 0}, no},
		{"prctl", []uint64{unix.PR_SET_DUMPABLE, 1}, no},
		{"prctl", []uint64{unix.PR_SET_SECCOMP}, no},
		{"fcntl", []uint64{3, unix.F_SETFL}, yes},
		{"fcntl", []uint64{3, unix.F_SETOWN}, no},
		{"fcntl", []uint64{3, unix.F_ADD_SEALS}, no},
		{"execveat", []uint64{Image, 0, 0, 0, unix.AT_EMPTY_PATH}, yes},
		{"execveat", []uint64{Image, 0, 0, 0, 0}, no},
		{"execveat", []uint64{5, 0, 0, 0, unix.AT_EMPTY_PATH}, no},
		{"execveat", []uint64{uint64(0xffffff9c), 0, 0, 0, unix.AT_EMPTY_PATH}, no},
	} {
		for _, on := range []*arch.Info{arch.X86_64, arch.AARCH64} {
			number, ok := on.SyscallNames[c.call]
			if !ok {
				t.Fatalf("%s: no %s", on.Name, c.call)
			}
			if got := judge(t, machine(t, on), on.ID, uint32(number), c.args...); got != c.want {
				t.Errorf("%s: %s%x: %#x, want %#x", on.Name, c.call, c.args, got, c.want)
			}
		}
	}
}

// TestAllElseIsRefused: with no argument at all, and with arguments that are numbers of allowed calls, nothing passes
// but what is listed.
func TestAllElseIsRefused(t *testing.T) {
	for _, on := range []*arch.Info{arch.X86_64, arch.AARCH64} {
		vm := machine(t, on)
		for number, name := range on.SyscallNumbers {
			if slices.Contains(plain(), name) || slices.Contains(later(), name) ||
				slices.ContainsFunc(checked(self), func(r rule) bool { return r.name == name }) {
				continue
			}
			for _, arg := range []uint64{0, 1, 3, 60, 98, 202} {
				if got := judge(t, vm, on.ID, uint32(number), arg, arg, arg, arg, arg, arg); got != no {
					t.Errorf("%s: %s: %#x", on.Name, name, got)
				}
			}
		}
	}
}

// TestForbidden: what must never be on the list, whoever edits it.
func TestForbidden(t *testing.T) {
	for _, name := range []string{
		"execve", "fork", "vfork", "clone3", "unshare", "setns", "connect", "sendmsg", "sendmmsg", "ioctl", "mount", "umount2",
		"pivot_root", "chroot", "open_tree", "move_mount", "fsopen", "fsmount", "fsconfig", "mount_setattr", "ptrace",
		"process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_open", "pidfd_getfd", "pidfd_send_signal", "kcmp",
		"memfd_create", "memfd_secret", "bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key",
		"kexec_load", "kexec_file_load", "init_module", "finit_module", "delete_module", "quotactl", "open_by_handle_at",
		"name_to_handle_at", "io_uring_setup", "setuid", "setresuid", "setgroups", "capset", "mknod", "mknodat", "symlink",
		"symlinkat", "chown", "fchown", "lchown", "fchownat", "seccomp", "personality", "reboot", "swapon", "sethostname",
		"settimeofday", "clock_settime", "adjtimex", "iopl", "ioperm", "modify_ldt", "shmget", "msgget", "semget", "mq_open",
		"inotify_init1", "fanotify_init", "setsid", "setpgid", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "mlock",
		"sched_setscheduler", "setpriority", "ioprio_set", "syslog", "acct", "vhangup", "lookup_dcookie", "landlock_create_ruleset",
	} {
		if slices.Contains(plain(), name) {
			t.Errorf("%s is allowed", name)
		}
	}
}

func TestNames(t *testing.T) {
	names := slices.Concat(plain(), later())
	for _, r := range checked(self) {
		names = append(names, r.name)
	}
	slices.Sort(names)
	for i, name := range names {
		_, x86 := arch.X86_64.SyscallNames[name]
		_, arm := arch.AARCH64.SyscallNames[name]
		if !x86 && !arm {
			t.Errorf("no architecture has %s", name)
		}
		if i > 0 && names[i-1] == name {
			t.Errorf("%s is listed twice", name)
		}
	}
}

func TestOtherArchitectures(t *testing.T) {
	vm := machine(t, arch.X86_64)
	if got := judge(t, vm, arch.I386.ID, 3); got != retKill {
		t.Errorf("32-bit call: %#x", got)
	}
	const x32 = 0x40000000 // of a number: the x32 interface
	if got := judge(t, vm, arch.X86_64.ID, x32|1); got != what {
		t.Errorf("x32 call: %#x", got)
	}
	if got := judge(t, vm, arch.X86_64.ID, 9999); got != what {
		t.Errorf("a call of the future: %#x", got)
	}
	if supported(arch.I386) || !supported(arch.AARCH64) {
		t.Error("supported")
	}
}
