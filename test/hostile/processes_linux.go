package hostile

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// processAttacks go for other processes: the core, another plugin.
func processAttacks() []Attack {
	core := func(p Place) int { return p.Core }
	other := func(p Place) int { return p.Other }
	return []Attack{
		{Name: "process/signal-core", Want: unseen(), try: signalling(core)},
		{Name: "process/signal-plugin", Want: unseen(), try: signalling(other)},
		{Name: "process/signal-thread-of-core", Want: unseen(), try: func(p Place) error { return unix.Tgkill(p.Core, p.Core, 0) }},
		{Name: "process/queue-signal-to-core", Want: unseen(), try: queueSignal},
		{Name: "process/signal-group-of-core", Want: unseen(), try: func(p Place) error { return unix.Kill(-p.Core, 0) }},
		{Name: "process/own-signals-to-core", Want: unseen(), try: ownerOfSignals},
		{Name: "process/ptrace-core", Want: refused(), try: attaching(core)},
		{Name: "process/ptrace-plugin", Want: refused(), try: attaching(other)},
		{Name: "process/ptrace-seize-plugin", Want: refused(), try: seizing(other)},
		{Name: "process/read-memory-of-core", Want: refused(), try: memory(unix.SYS_PROCESS_VM_READV, core)},
		{Name: "process/write-memory-of-plugin", Want: refused(), try: memory(unix.SYS_PROCESS_VM_WRITEV, other)},
		{Name: "process/pidfd-of-core", Want: unseen(), try: pidfd(core)},
		{Name: "process/pidfd-of-plugin", Want: unseen(), try: pidfd(other)},
		{Name: "process/steal-descriptor-of-core", Want: unseen(), try: stealDescriptor},
		{Name: "process/limits-of-core", Want: unseen(), try: func(p Place) error {
			var l unix.Rlimit
			return unix.Prlimit(p.Core, unix.RLIMIT_NOFILE, nil, &l)
		}},
		{Name: "process/compare-core", Want: unseen(), try: func(p Place) error {
			_, err := call(unix.SYS_KCMP, uintptr(p.Core), uintptr(p.Other), 0, 0, 0)
			return err
		}},
		{Name: "process/priority-of-core", Want: unseen(), try: func(p Place) error {
			return unix.Setpriority(unix.PRIO_PROCESS, p.Core, 19)
		}},
		{Name: "process/pin-core", Want: unseen(), try: pinCore},
		{Name: "process/environment-of-core", Want: hidden(), try: func(p Place) error { return reading(fmt.Sprintf("/proc/%d/environ", p.Core)) }},
		{Name: "process/descriptors-of-core", Want: hidden(), try: func(p Place) error { return reading(fmt.Sprintf("/proc/%d/fd", p.Core)) }},
		{Name: "process/root-of-core", Want: hidden(), try: func(p Place) error { return reading(fmt.Sprintf("/proc/%d/root/etc/passwd", p.Core)) }},
		{Name: "process/first-of-all", Want: hidden(), try: func(Place) error { return reading("/proc/1/status") }},
		{Name: "process/itself", Want: hidden(), try: func(Place) error { return reading("/proc/self/maps") }},
		{Name: "process/trace-me", Want: refused(), Alone: true, try: calling(unix.SYS_PTRACE, unix.PTRACE_TRACEME), Uncontrolled: "it works, and the thread then waits for a tracer even when it is dead"},
	}
}

// signalling sends signal 0: whoever may send that may send any (kill(2)).
func signalling(who func(Place) int) func(Place) error {
	return func(p Place) error { return unix.Kill(who(p), 0) }
}

// queueSignal sends signal 0 with a value (rt_sigqueueinfo(2)).
func queueSignal(p Place) error {
	info := struct {
		signal, errno, code int32
		_                   [116]byte
	}{code: -1} // SI_QUEUE
	_, err := call(unix.SYS_RT_SIGQUEUEINFO, uintptr(p.Core), 0, uintptr(unsafe.Pointer(&info)))
	return err
}

// ownerOfSignals makes the core the one who is sent a signal when something can be read (fcntl(2), F_SETOWN).
func ownerOfSignals(p Place) error {
	return ours(unix.SOCK_STREAM, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETOWN, p.Core)
		return err
	})
}

// attaching stops the process and lets it go on at once, where it works.
func attaching(who func(Place) int) func(Place) error {
	return func(p Place) error {
		if err := unix.PtraceAttach(who(p)); err != nil {
			return err
		}
		var ws unix.WaitStatus
		_, _ = unix.Wait4(who(p), &ws, unix.WALL, nil)
		return unix.PtraceDetach(who(p))
	}
}

func seizing(who func(Place) int) func(Place) error {
	return func(p Place) error {
		_, err := call(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(who(p)))
		return err
	}
}

// memory asks for no bytes of another process: whether one may is decided before (process_vm_readv(2)).
func memory(number uintptr, who func(Place) int) func(Place) error {
	return func(p Place) error {
		b := [1]byte{}
		local := unix.Iovec{Base: &b[0]}
		local.SetLen(1)
		remote := unix.Iovec{} // nobody has anything at address 0: EFAULT when it may be asked for
		remote.SetLen(1)
		_, err := call(number, uintptr(who(p)), uintptr(unsafe.Pointer(&local)), 1, uintptr(unsafe.Pointer(&remote)), 1)
		if errors.Is(err, unix.EFAULT) {
			return nil
		}
		return err
	}
}

func pidfd(who func(Place) int) func(Place) error {
	return func(p Place) error {
		fd, err := unix.PidfdOpen(who(p), 0)
		if err == nil {
			_ = unix.Close(fd)
		}
		return err
	}
}

func stealDescriptor(p Place) error {
	fd, err := unix.PidfdOpen(p.Core, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only asked with
	got, err := unix.PidfdGetfd(fd, 1, 0)
	if err == nil {
		_ = unix.Close(got)
	}
	return err
}

func pinCore(p Place) error {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(p.Core, &all); err != nil {
		return err
	}
	return unix.SchedSetaffinity(p.Core, &all)
}
