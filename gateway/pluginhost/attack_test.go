package pluginhost_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attacks is what a hostile mock tries from inside, by name; its setup says where files are.
func attacks(config string) map[string]func() error {
	var c struct{ Readable, Writable, Outside string }
	_ = json.Unmarshal([]byte(config), &c)
	all := map[string]func() error{
		"inet socket":     func() error { return closed(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) },
		"inet6 socket":    func() error { return closed(unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM, 0)) },
		"packet socket":   func() error { return closed(unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0x300)) },
		"netlink socket":  func() error { return closed(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) },
		"unix datagram":   func() error { return closed(unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)) },
		"unshare":         func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"mount":           func() error { return unix.Mount("none", "/", "tmpfs", 0, "") },
		"chroot":          func() error { return unix.Chroot("/") },
		"ptrace the core": func() error { return unix.PtraceAttach(os.Getppid()) },
		"kill the core":   func() error { return unix.Kill(max(os.Getppid(), 2), 0) },
		"kill everything": func() error { return unix.Kill(-1, 0) },
		"memfd":           func() error { return closed(unix.MemfdCreate("x", 0)) },
		"io_uring":        func() error { return errno(unix.Syscall(unix.SYS_IO_URING_SETUP, 1, 0, 0)) },
		"ioctl":           func() error { return errno(unix.Syscall(unix.SYS_IOCTL, 1, unix.TIOCSTI, 0)) },
		"SIOCGSKNS":       func() error { return errno(unix.Syscall(unix.SYS_IOCTL, 3, unix.SIOCGSKNS, 0)) },
		"setuid":          func() error { return errno(unix.RawSyscall(unix.SYS_SETUID, 0, 0, 0)) },
		"fork":            func() error { return errno(unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)) },
		"shell":           func() error { return exec.Command("/bin/sh", "-c", "true").Run() }, //nolint:noctx // refused
		"new landlock":    func() error { return errno(unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1)) },
		"bpf":             func() error { return errno(unix.Syscall(unix.SYS_BPF, 0, 0, 0)) },
		"keys":            func() error { return errno(unix.Syscall(unix.SYS_KEYCTL, 0, 0, 0)) },
		"connect": func() error {
			fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
			if err != nil {
				return errors.New("no socket")
			}
			return unix.Connect(fd, &unix.SockaddrUnix{Name: "/run/systemd/private"})
		},
		"fast open": func() error {
			b := [1]byte{}
			return errno(unix.Syscall6(unix.SYS_SENDTO, 3, uintptr(unsafe.Pointer(&b)), 1, unix.MSG_FASTOPEN, uintptr(unsafe.Pointer(&b)), 1))
		},
		"list the root":   func() error { _, err := os.ReadDir("/"); return err },
		"a message":       func() error { return unix.Sendmsg(3, []byte("x"), unix.UnixRights(0), nil, 0) },
		"read /etc":       func() error { _, err := os.ReadFile("/etc/hostname"); return err },
		"read /proc":      func() error { _, err := os.ReadFile("/proc/self/status"); return err },
		"list interfaces": func() error { _, err := os.ReadDir("/sys/class/net"); return err },
		"write the root":  func() error { return os.WriteFile("/x", nil, 0o600) },
	}
	if c.Outside != "" {
		all["read outside"] = func() error { _, err := os.ReadFile(c.Outside); return err }
		all["write what is to read"] = func() error { return os.WriteFile(c.Readable, nil, 0o600) }
		all["a trap"] = func() error { return os.Symlink("/etc/shadow", filepath.Join(c.Writable, "trap")) }
		all["set-user-id"] = func() error { return os.Chmod(c.Writable, 0o750|os.ModeSetuid) }
		all["run a file of its own"] = func() error { return runOwn(c.Writable) }
		all["ok: read"] = func() error { _, err := os.ReadFile(c.Readable); return err }
		all["ok: write"] = func() error { return writeAll(c.Writable) }
	}
	return all
}

// writeAll does what a sink does in its directory.
func writeAll(dir string) error {
	sub := filepath.Join(dir, "sub")
	if err := os.MkdirAll(sub, 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(sub, "f")
	if err != nil {
		return err
	}
	_, werr := f.WriteString("of the plugin")
	target := filepath.Join(dir, "result")
	return errors.Join(werr, unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 4096), f.Sync(), f.Truncate(3), f.Close(),
		os.Rename(f.Name(), target), os.Link(target, target+"2"), os.Remove(target+"2"))
}

func runOwn(dir string) error {
	path := filepath.Join(dir, "program")
	if err := os.WriteFile(path, []byte("\x7fELF"), 0o700); err != nil {
		return errors.New("not written")
	}
	fd, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := unix.Dup3(fd, 4, 0); err != nil && fd != 4 { // the one number that the filter lets execute
		return errors.New("not moved")
	}
	empty := [1]byte{}
	return errno(unix.RawSyscall6(unix.SYS_EXECVEAT, 4, uintptr(unsafe.Pointer(&empty[0])), 0, 0, unix.AT_EMPTY_PATH, 0))
}

func closed(fd int, err error) error {
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

func errno(_, _ uintptr, e unix.Errno) error {
	if e == 0 {
		return nil
	}
	return e
}

// attackView reports how every attack ended: the error's name, or "done".
func attackView(config string) []byte {
	out := map[string]string{}
	for name, try := range attacks(config) {
		err := try()
		var e unix.Errno
		switch {
		case err == nil:
			out[name] = "done"
		case errors.As(err, &e):
			out[name] = unix.ErrnoName(e)
		default:
			out[name] = err.Error()
		}
	}
	raw, _ := json.Marshal(out)
	return raw
}

// isAttacker tells the mock that attacks.
func isAttacker(name string) bool { return strings.HasPrefix(name, "attacker") }
