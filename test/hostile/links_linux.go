package hostile

import (
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// linkAttacks leave the granted directory by links.
func linkAttacks() []Attack {
	unreachable := []unix.Errno{unix.ENOENT, unix.EPERM, unix.EACCES} // whether the link or what is behind it is refused
	return []Attack{
		{Name: "link/read-by-symlink", Want: unreachable, try: func(p Place) error { return bySymlink(p.Granted, "file-link", p.Secret, reading) }},
		{Name: "link/read-passwd-by-symlink", Want: unreachable, try: func(p Place) error { return bySymlink(p.Granted, "passwd", "/etc/passwd", reading) }},
		{Name: "link/write-by-symlink", Want: unwritable(), try: func(p Place) error {
			return bySymlink(p.Granted, "directory-link", p.Beside, func(path string) error { return writing(filepath.Join(path, "written")) })
		}},
		{Name: "link/hard-link-of-secret", Want: hidden(), try: func(p Place) error { return hardLink(p.Secret, p.Granted) }},
		{Name: "link/hard-link-of-readable", Want: append(unwritable(), unix.EXDEV), try: func(p Place) error { return hardLink(p.Readable, p.Granted) }},
		{Name: "link/hard-link-out", Want: append(unwritable(), unix.EXDEV), try: hardLinkOut},
	}
}

// bySymlink makes a link in the granted directory, leaves it there, and uses it.
func bySymlink(dir, name, target string, use func(string) error) error {
	link := filepath.Join(dir, name)
	if err := os.Symlink(target, link); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return use(link)
}

func hardLink(target, dir string) error {
	link := filepath.Join(dir, "hard-link")
	defer os.Remove(link) //nolint:errcheck // it is not to be there
	return os.Link(target, link)
}

func hardLinkOut(p Place) error {
	from := filepath.Join(p.Granted, "to-link")
	if err := writing(from); err != nil {
		return errors.Join(errImpossible, err)
	}
	to := filepath.Join(p.Beside, "linked")
	defer os.Remove(to) //nolint:errcheck // it is not to be there
	return os.Link(from, to)
}
