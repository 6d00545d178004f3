package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rights of linux/landlock.h that x/sys has under these names, by what a Path is used for. No Use may make symbolic
// links, devices or fifos: they would be traps for a program of the host that follows them.
const (
	readRights    = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	writeRights   = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REFER
	socketRights  = readRights | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE
	libraryRights = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_EXECUTE
	fileRights    = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE
)

// handled is what a version of the interface can refuse, and no rule of ours allows beyond paths: the first thirteen
// rights of files, REFER from version 2, TRUNCATE from 3, TCP from 4, IOCTL_DEV from 5, abstract sockets and signals
// beyond the sandbox from 6 (landlock(7)).
func handled(version int) unix.LandlockRulesetAttr {
	a := unix.LandlockRulesetAttr{Handled_access_fs: unix.LANDLOCK_ACCESS_FS_MAKE_SYM<<1 - 1}
	if version >= 2 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if version >= 3 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if version >= 4 {
		a.Handled_access_net = unix.LANDLOCK_ACCESS_NET_BIND_TCP | unix.LANDLOCK_ACCESS_NET_CONNECT_TCP
	}
	if version >= 5 {
		a.Handled_access_fs |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if version >= 6 {
		a.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
	}
	return a
}

// attrSize is how much of the structure a version knows; a kernel refuses what is longer than what it knows unless
// the rest is zero, so older ones accept it all.
const attrSize = 24

// LandlockVersion asks the kernel for the version of its interface.
func LandlockVersion() (int, error) {
	v, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	switch errno {
	case 0:
		return int(v), nil
	case unix.ENOSYS:
		return 0, fmt.Errorf("this kernel is built without it (CONFIG_SECURITY_LANDLOCK, Linux 5.13): %w", errno)
	case unix.EOPNOTSUPP:
		return 0, fmt.Errorf("switched off at boot: add landlock to the lsm= boot parameter: %w", errno)
	default:
		return 0, errno
	}
}

// restrictFiles allows the Spec's paths and nothing else.
func restrictFiles(s *Spec) error {
	version, err := LandlockVersion()
	if err != nil {
		return err
	}
	attr := handled(version)
	set, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), attrSize, 0) //nolint:gosec // no wrapper exists
	if errno != 0 {
		return fmt.Errorf("rules: %w", errno)
	}
	defer unix.Close(int(set)) //nolint:errcheck // in force or not, it is not needed
	for _, p := range s.Paths {
		if err := allowPath(int(set), attr.Handled_access_fs, p.Use, p.inside(s)); err != nil {
			return fmt.Errorf("%s: %w", p.Target, err)
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, set, 0, 0); errno != 0 {
		return fmt.Errorf("restrict: %w", errno)
	}
	return nil
}

func allowPath(set int, known uint64, use Use, path string) error {
	fd, err := openPath(path)
	if err != nil {
		return err
	}
	defer unix.Close(fd) //nolint:errcheck // only a place
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	rights := map[Use]uint64{Read: readRights, Write: writeRights, Sockets: socketRights, Library: libraryRights}[use]
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		rights &= fileRights // the kernel refuses rights of directories on files
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: rights & known, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(set), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0) //nolint:gosec // no wrapper exists
	if errno != 0 {
		return errno
	}
	return nil
}
