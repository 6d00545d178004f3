package sandbox

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// enterRoot puts an empty, read-only root in place of the host's, in which only the Spec's paths exist.
func enterRoot(s *Spec) error {
	if !s.has(Namespaces) {
		return errors.New("needs namespaces")
	}
	defer unix.Umask(unix.Umask(0o022)) // its directories are for another user
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts to itself: %w", err)
	}
	trees := make([]int, 0, len(s.Paths))
	for _, p := range s.Paths { // while the host's root is still there
		tree, err := treeOf(s, p)
		if err != nil {
			return err
		}
		trees = append(trees, tree)
	}
	root, err := newTmpfs([][2]string{{"size", "64k"}, {"nr_inodes", "4096"}, {"mode", "0755"}})
	if err != nil {
		return err
	}
	if err := swapRoot(root); err != nil {
		return err
	}
	for i, p := range s.Paths {
		if err := attach(root, trees[i], p); err != nil {
			return fmt.Errorf("%s: %w", p.Target, err)
		}
	}
	readOnly := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(root, "", unix.AT_EMPTY_PATH, &readOnly); err != nil {
		return fmt.Errorf("read-only: %w", err)
	}
	return nil
}

// treeOf returns the mount that is to be at a path.
func treeOf(s *Spec, p Path) (int, error) {
	if p.Source != "" {
		return cloneTree(p)
	}
	// A file that is made, removed and made again as a socket, and what lies around it.
	options := [][2]string{{"size", "64k"}, {"nr_inodes", "16"}, {"mode", "0700"}}
	if s.UID != Stay && s.GID != Stay {
		options = append(options, [2]string{"uid", strconv.Itoa(s.UID)}, [2]string{"gid", strconv.Itoa(s.GID)})
	}
	tree, err := newTmpfs(options)
	if err != nil || s.Probe {
		return tree, err
	}
	if err := unix.Sendmsg(Orders, []byte{0}, unix.UnixRights(tree), nil, unix.MSG_NOSIGNAL); err != nil {
		return -1, fmt.Errorf("tell the gateway of the socket directory: %w", err)
	}
	return tree, nil
}

// openPath opens a path on the way to which there is no symbolic link (openat2(2), Linux 5.6).
func openPath(path string) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &how)
	if err != nil {
		return -1, fmt.Errorf("%s: %w", path, err)
	}
	return fd, nil
}

// cloneTree returns a mount of its own of a path with all that is mounted below it (open_tree(2), Linux 5.2).
func cloneTree(p Path) (int, error) {
	fd, err := openPath(p.Source)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd) //nolint:errcheck // only a place
	const flags = unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH | unix.AT_RECURSIVE
	tree, err := unix.OpenTree(fd, "", flags)
	if err != nil {
		return -1, fmt.Errorf("%s: copy its mount: %w", p.Source, err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Propagation: unix.MS_PRIVATE}
	if p.Use != Library {
		attr.Attr_set |= unix.MOUNT_ATTR_NOEXEC
	}
	if p.Use == Read || p.Use == Library {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return -1, fmt.Errorf("%s: restrict its mount (mount_setattr, Linux 5.12): %w", p.Source, err)
	}
	return tree, nil
}

// newTmpfs makes a file system in memory, not attached anywhere yet.
func newTmpfs(options [][2]string) (int, error) {
	fs, err := unix.Fsopen("tmpfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("tmpfs: %w", err)
	}
	defer unix.Close(fs) //nolint:errcheck // the mount has its own reference
	for _, option := range options {
		if err := unix.FsconfigSetString(fs, option[0], option[1]); err != nil {
			return -1, fmt.Errorf("tmpfs: %s: %w", option[0], err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fmt.Errorf("tmpfs: %w", err)
	}
	root, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return -1, fmt.Errorf("tmpfs: mount: %w", err)
	}
	return root, nil
}

// swapRoot makes a mount the root and lets go of the old one (pivot_root(2), "pivot_root(".", ".")").
func swapRoot(root int) error {
	if err := unix.MoveMount(root, "", unix.AT_FDCWD, "/", unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	if err := unix.Fchdir(root); err != nil {
		return fmt.Errorf("enter: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fmt.Errorf("enter: %w", err)
	}
	return nil
}

// attach makes the mount point and mounts the tree there.
func attach(root, tree int, p Path) error {
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return err
	}
	target := strings.TrimPrefix(p.Target, "/")
	if err := makePoint(root, target, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	if err := unix.MoveMount(tree, "", root, target, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
		return fmt.Errorf("attach: %w", err)
	}
	return nil
}

// makePoint makes what is missing of a path. What lies in another path of the Spec exists already.
func makePoint(root int, target string, dir bool) error {
	parts := strings.Split(filepath.Clean(target), "/")
	for i := range parts {
		part := filepath.Join(parts[:i+1]...)
		var err error
		if i == len(parts)-1 && !dir {
			err = unix.Mknodat(root, part, unix.S_IFREG|0o600, 0)
		} else {
			err = unix.Mkdirat(root, part, 0o755)
		}
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return fmt.Errorf("mount point: %w", err)
		}
	}
	return nil
}
