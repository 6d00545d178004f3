package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// checkPaths makes sure that the plugin's user can use what it is given: better now than at its first write. The
// kernel answers, so that access lists count too.
func checkPaths(s *Spec) error {
	for _, p := range s.Paths {
		mode := uint32(unix.R_OK)
		if p.Use == Write || p.Use == Sockets {
			mode = unix.R_OK | unix.W_OK | unix.X_OK
		}
		err := unix.Faccessat(unix.AT_FDCWD, p.inside(s), mode, unix.AT_EACCESS)
		switch {
		case err == nil:
		case !errors.Is(err, unix.EACCES):
			return fmt.Errorf("%s: %w", p.Target, err)
		case p.Use == Write:
			return fmt.Errorf("the plugin's user %d cannot write to %s: chown -R %d:%d %s, or choose another directory",
				unix.Geteuid(), p.Target, unix.Geteuid(), unix.Getegid(), p.Target)
		default:
			return fmt.Errorf("the plugin's user %d cannot read %s: chgrp %d %s && chmod g+r %s",
				unix.Geteuid(), p.Target, unix.Getegid(), p.Target, p.Target)
		}
	}
	return nil
}

// inside is where the path is once the root is what the Spec wants.
func (p Path) inside(s *Spec) string {
	if s.has(EmptyRoot) {
		return p.Target
	}
	return p.Source
}
