package hostile

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// namespaceAttacks try to leave the sandbox's view of the machine, or to make one in which they are somebody.
func namespaceAttacks() []Attack {
	const ofChildren = unix.CLONE_NEWPID | unix.CLONE_NEWTIME // whose children are born elsewhere from then on
	un := func(name string, flags uintptr) Attack {
		return Attack{Name: "namespace/unshare-" + name, Want: refused(), Alone: flags&ofChildren != 0, Needs: Namespace, try: calling(unix.SYS_UNSHARE, flags)}
	}
	return []Attack{
		un("user", unix.CLONE_NEWUSER), un("network", unix.CLONE_NEWNET), un("mount", unix.CLONE_NEWNS), un("process", unix.CLONE_NEWPID),
		un("time", unix.CLONE_NEWTIME), un("cgroup", unix.CLONE_NEWCGROUP),
		{Name: "namespace/clone-user", Want: refused(), try: cloning(unix.CLONE_NEWUSER)},
		{Name: "namespace/clone-network", Want: refused(), Needs: Namespace, try: cloning(unix.CLONE_NEWNET)},
		{Name: "namespace/clone3", Want: missing(), try: clone3},
		{Name: "namespace/enter-by-descriptor", Want: refused(), try: onControl(unix.SYS_SETNS, 0)},
		{Name: "namespace/enter-that-of-the-core", Want: []syscall.Errno{unix.ENOENT, unix.EPERM}, Alone: true, Needs: Root, try: enterCore, Uncontrolled: "its own is entered without effect"},
		{Name: "namespace/mount", Want: refused(), Alone: true, Needs: Namespace, try: func(p Place) error {
			return unix.Mount("none", p.Granted, "tmpfs", 0, "")
		}},
		{Name: "namespace/mount-proc", Want: refused(), Alone: true, Needs: Root, try: func(p Place) error {
			return unix.Mount("proc", p.Granted, "proc", 0, "")
		}},
		{Name: "namespace/remount-writable", Want: refused(), Alone: true, Needs: Namespace, try: func(Place) error {
			return unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND, "")
		}, Uncontrolled: ofMachine},
		{Name: "namespace/unmount", Want: refused(), Needs: Namespace, try: func(p Place) error { return unix.Unmount(p.Granted, unix.MNT_DETACH) }},
		{Name: "namespace/pivot-root", Want: refused(), Needs: Namespace, try: func(p Place) error { return unix.PivotRoot(p.Granted, p.Granted) }},
		{Name: "namespace/change-root", Want: refused(), Alone: true, Needs: Namespace, try: func(p Place) error { return unix.Chroot(p.Granted) }},
		{Name: "namespace/open-tree", Want: refused(), Needs: Namespace, try: openTree},
		{Name: "namespace/file-system-context", Want: refused(), Needs: Namespace, try: fileSystemContext},
		{Name: "namespace/host-name", Want: refused(), Needs: Namespace, try: func(Place) error { return unix.Sethostname([]byte("owned")) }},
	}
}

// cloning makes a child in new namespaces, which ends at once.
func cloning(flags uintptr) func(Place) error {
	return func(Place) error {
		pid, err := call(unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD))
		if err != nil {
			return err
		}
		if pid == 0 {
			leave()
		}
		return reap(pid)
	}
}

// clone3 makes an ordinary child: also that is refused, because a filter cannot see its flags.
func clone3(Place) error {
	args := struct{ flags, pidfd, childTid, parentTid, exitSignal, stack, stackSize, tls uint64 }{exitSignal: uint64(unix.SIGCHLD)}
	pid, err := call(unix.SYS_CLONE3, uintptr(unsafe.Pointer(&args)), unsafe.Sizeof(args))
	if err != nil {
		return err
	}
	if pid == 0 {
		leave()
	}
	return reap(pid)
}

// leave ends a child that has only the thread that made it.
func leave() {
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

func reap(pid uintptr) error {
	var ws unix.WaitStatus
	_, err := unix.Wait4(int(pid), &ws, 0, nil)
	return err
}

func enterCore(p Place) error {
	fd, err := unix.Open(fmt.Sprintf("/proc/%d/ns/net", p.Core), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // a namespace
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

func openTree(p Place) error {
	fd, err := unix.OpenTree(unix.AT_FDCWD, p.Granted, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func fileSystemContext(Place) error {
	fd, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if errors.Is(err, unix.ENOSYS) {
		return errors.Join(errImpossible, err)
	}
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
