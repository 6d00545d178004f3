package warden

import (
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
)

// openers are the system calls by which a process gets at something that it
// does not hold yet. A keeper needs none of them once it listens.
func openers() []string {
	return []string{
		"open", "openat", "openat2", "creat", "open_by_handle_at", "memfd_create", "memfd_secret",
		"socket", "socketpair", "connect", "bind", "pidfd_open", "pidfd_getfd", "userfaultfd", "fanotify_init",
		"execve", "execveat", "fork", "vfork", "unshare", "setns", "mount", "umount2", "fsopen", "open_tree", "move_mount",
		"ptrace", "process_vm_readv", "process_vm_writev", "bpf", "perf_event_open", "io_uring_setup",
		"init_module", "finit_module", "kexec_load", "kexec_file_load", "add_key", "request_key", "keyctl",
	}
}

// seal takes these from every thread of this process, for good (seccomp(2),
// SECCOMP_FILTER_FLAG_TSYNC).
func seal() error {
	on, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("guard: keeper: seal: %w", err)
	}
	names := slices.DeleteFunc(openers(), func(name string) bool {
		_, known := on.SyscallNames[name]
		return !known // on this architecture
	})
	err = seccomp.LoadFilter(seccomp.Filter{
		NoNewPrivs: true, Flag: seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionAllow,
			Syscalls:      []seccomp.SyscallGroup{{Names: names, Action: seccomp.ActionErrno}},
		},
	})
	if err != nil {
		return fmt.Errorf("guard: keeper: seal: %w", err)
	}
	return nil
}
