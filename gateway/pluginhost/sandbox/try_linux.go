package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Try applies the Spec to the calling thread and then attacks it: what a kernel accepts and does not enforce is no
// layer. The process must end afterwards.
func Try(s *Spec) (Report, bool) {
	var r Report
	if v, err := LandlockVersion(); err == nil {
		r.Landlock = v
	}
	err := Apply(s)
	if err == nil {
		err = attack(s)
	}
	if err == nil {
		return r, true
	}
	if le, ok := errors.AsType[*LayerError](err); ok {
		r.Layer, err = le.Layer, le.Err
	}
	r.Reason = err.Error()
	return r, false
}

// attack tries what the layers are to refuse.
func attack(s *Spec) error {
	for _, a := range []struct {
		layer string
		want  unix.Errno
		try   func() error
	}{
		{EmptyRoot, unix.ENOENT, func() error { return unix.Access("/proc", unix.F_OK) }},
		{Landlock, unix.EACCES, func() error { return openForReading("/") }},
		{Filter, unix.EPERM, func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
	} {
		if !s.has(a.layer) {
			continue
		}
		if err := a.try(); !errors.Is(err, a.want) {
			return &LayerError{Layer: a.layer, Err: fmt.Errorf("accepted but not in force: %w instead of %w", err, a.want)}
		}
	}
	return nil
}

func openForReading(path string) error {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return err
}
