package hostile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// fileAttacks read and write what was not granted.
func fileAttacks() []Attack {
	read := func(name, path string) Attack {
		return Attack{Name: "file/" + name, Want: hidden(), try: func(Place) error { return reading(path) }}
	}
	unlisted := []syscall.Errno{unix.ENOENT, unix.EACCES}
	return []Attack{
		read("passwd", "/etc/passwd"),
		read("resolver", "/etc/resolv.conf"),
		read("interfaces", "/proc/net/dev"),
		read("cgroups", "/sys/fs/cgroup"),
		read("devices", "/dev"),
		read("null-device", "/dev/null"),
		{Name: "file/temporary-files", Want: unlisted, try: func(Place) error { return reading("/tmp") }},
		read("programs", "/usr/bin"),
		{Name: "file/terminal", Want: hidden(), try: func(Place) error { return reading("/dev/tty") }, Uncontrolled: "a test has no terminal"},
		{Name: "file/secret", Want: hidden(), try: func(p Place) error { return reading(p.Secret) }},
		{Name: "file/secret-by-parent", Want: hidden(), try: func(p Place) error {
			return reading(filepath.Dir(p.Granted) + "/" + filepath.Base(p.Granted) + "/../" + filepath.Base(filepath.Dir(p.Secret)) + "/" + filepath.Base(p.Secret))
		}},
		{Name: "file/beside", Want: unlisted, try: func(p Place) error { return reading(p.Beside) }},
		{Name: "file/above-the-root", Want: unlisted, try: func(Place) error { return above() }},
		{Name: "file/list-the-root", Want: unlisted, try: listRoot},
		{Name: "file/write-beside", Want: unwritable(), try: func(p Place) error { return writing(filepath.Join(p.Beside, "written")) }},
		{Name: "file/write-into-root", Want: unwritable(), Needs: Namespace, try: func(Place) error { return writing("/written") }, Uncontrolled: ofMachine},
		{Name: "file/write-into-parent", Want: unwritable(), try: func(p Place) error { return writing(filepath.Dir(p.Granted) + "/written") }},
		{Name: "file/write-temporary", Want: unwritable(), try: func(Place) error { return temporary() }},
		{Name: "file/write-readable", Want: unwritable(), try: func(p Place) error { return overwriting(p.Readable) }},
		{Name: "file/truncate-readable", Want: unwritable(), try: func(p Place) error { return unix.Truncate(p.Readable, 0) }},
		{Name: "file/remove-readable", Want: append(unwritable(), unix.EBUSY), try: func(p Place) error { return unix.Unlink(p.Readable) }, Alone: true},
		{Name: "file/mode-of-readable", Want: unwritable(), try: func(p Place) error { return os.Chmod(p.Readable, 0o666) }},
		{Name: "file/take-readable", Want: unwritable(), Needs: Namespace, try: func(p Place) error { return os.Chown(p.Readable, 0, 0) }, Uncontrolled: "nothing is taken where it belongs to the one who tries"},
		{Name: "file/directory-beside", Want: unwritable(), try: func(p Place) error { return os.Mkdir(filepath.Join(p.Beside, "made"), 0o700) }},
		{Name: "file/rename-out", Want: append(unwritable(), unix.EXDEV), try: renameOut},
		{Name: "file/replace-granted", Want: append(unwritable(), unix.EBUSY, unix.EXDEV), try: replaceGranted, Alone: true},
		{Name: "file/device-node", Want: []syscall.Errno{unix.EPERM, unix.EACCES}, Needs: Root, try: deviceNode},
		{Name: "file/block-device-node", Want: []syscall.Errno{unix.EPERM, unix.EACCES}, Needs: Root, try: blockNode},
		{Name: "file/set-user-id", Want: refused(), try: setUserID},
		{Name: "file/set-user-id-at-birth", Want: refused(), try: bornSetUserID},
		{Name: "file/set-user-id-directory", Want: refused(), try: bornDirectory},
		{Name: "file/by-handle", Want: refused(), Needs: Root, try: byHandle},
		{Name: "file/open-descriptors", Want: []syscall.Errno{unix.EBADF}, try: strangeDescriptors, Uncontrolled: "a test process has files open"},
	}
}

// ofMachine is why an attack is not let loose on the machine of whoever runs the tests.
const ofMachine = "unconfined it would change the machine"

// reading opens a file or directory for reading and takes a little of it.
func reading(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, unix.EISDIR) {
		return nil
	}
	if _, err := f.ReadDir(1); !errors.Is(err, io.EOF) { // an empty one is read as well
		return err
	}
	return nil
}

func writing(path string) error {
	return os.WriteFile(path, []byte("written\n"), 0o600)
}

func overwriting(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_ = f.Close()
	}
	return err
}

func temporary() error {
	f, err := os.CreateTemp("", "written")
	if err == nil {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	return err
}

// above looks for the machine's root behind the plugin's own: what is above a root is that root.
func above() error {
	return reading("/../../../../etc/hostname")
}

// listRoot works when the root holds anything beside the way to what was granted.
func listRoot(p Place) error {
	entries, err := os.ReadDir("/")
	if err != nil {
		return err
	}
	own := []string{first(p.Granted), first(p.Readable), first(os.Getenv(socketDir))}
	for _, e := range entries {
		if !slices.Contains(own, e.Name()) {
			return nil
		}
	}
	return unix.ENOENT // nothing that is not its own
}

func first(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return name
}

func renameOut(p Place) error {
	from := filepath.Join(p.Granted, "to-rename")
	if err := writing(from); err != nil {
		return errors.Join(errImpossible, err)
	}
	return os.Rename(from, filepath.Join(p.Beside, "renamed"))
}

// replaceGranted moves the granted directory away, to put something else in its place.
func replaceGranted(p Place) error {
	away := p.Granted + ".away"
	if err := os.Rename(p.Granted, away); err != nil {
		return err
	}
	return os.Rename(away, p.Granted)
}

func deviceNode(p Place) error {
	return makeNode(filepath.Join(p.Granted, "mem"), unix.S_IFCHR, unix.Mkdev(1, 1)) // /dev/mem
}

func blockNode(p Place) error {
	return makeNode(filepath.Join(p.Granted, "disk"), unix.S_IFBLK, unix.Mkdev(8, 0)) // /dev/sda
}

func makeNode(path string, kind uint32, device uint64) error {
	defer unix.Unlink(path) //nolint:errcheck // it is not to be there
	return unix.Mknod(path, kind|0o600, int(device))
}

// specialMode is set-user-id, set-group-id and a program that all may execute: on the host such a file, with whatever
// is in it, runs as the plugins' user, or as the gateway's own where there is no other.
const specialMode = unix.S_ISUID | unix.S_ISGID | 0o755

func setUserID(p Place) error {
	path := filepath.Join(p.Granted, "set-user-id")
	if err := writing(path); err != nil {
		return errors.Join(errImpossible, err)
	}
	defer os.Remove(path) //nolint:errcheck // it is not to be of any use
	return unix.Chmod(path, specialMode)
}

// bornSetUserID makes the file with that mode at once.
func bornSetUserID(p Place) error {
	path := filepath.Join(p.Granted, "born-set-user-id")
	defer os.Remove(path) //nolint:errcheck // it is not to be there
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC, specialMode)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // empty
	return stillSpecial(fd)
}

// bornDirectory has the files in it belong to its group.
func bornDirectory(p Place) error {
	path := filepath.Join(p.Granted, "born-directory")
	defer os.Remove(path) //nolint:errcheck // it is not to be there
	if err := unix.Mkdir(path, 0o700); err != nil {
		return errors.Join(errImpossible, err)
	}
	return unix.Chmod(path, unix.S_ISGID|0o700)
}

// stillSpecial says no where the kernel, or a filter, made the file without.
func stillSpecial(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if st.Mode&(unix.S_ISUID|unix.S_ISGID) == 0 {
		return unix.EPERM
	}
	return nil
}

// byHandle opens a file by its number, past all directories (open_by_handle_at(2)).
func byHandle(p Place) error {
	dir, err := unix.Open(p.Granted, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return errors.Join(errImpossible, err)
	}
	defer unix.Close(dir)                                         //nolint:errcheck // only read
	root := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0}) // inode 2 is the root of ext4
	fd, err := unix.OpenByHandleAt(dir, root, unix.O_RDONLY)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}

// strangeDescriptors works when the process was left a descriptor that leads out: a file, a directory, a device or a
// socket of another family.
func strangeDescriptors(Place) error {
	for fd := range 1024 {
		var st unix.Stat_t
		if unix.Fstat(fd, &st) != nil {
			continue
		}
		switch kind := st.Mode & unix.S_IFMT; kind {
		case unix.S_IFREG, unix.S_IFDIR, unix.S_IFBLK:
			if st.Nlink > 0 {
				return nil
			}
		case unix.S_IFCHR:
			if fd != 0 { // standard input is the null device
				return nil
			}
		case unix.S_IFSOCK:
			if sa, err := unix.Getsockname(fd); err == nil {
				if _, ok := sa.(*unix.SockaddrUnix); !ok {
					return nil
				}
			}
		}
	}
	return fmt.Errorf("none leads out: %w", unix.EBADF)
}
