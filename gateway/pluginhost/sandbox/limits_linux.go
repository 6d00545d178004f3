package sandbox

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// limitResources sets what getrlimit(2) knows. Descriptors stay as they are: the gateway counts connections against
// them. The size of files stays: sinks write large ones.
func limitResources(s *Spec) error {
	limits := []struct {
		name     string
		resource int
		value    uint64
	}{
		{"core", unix.RLIMIT_CORE, 0},         // what a plugin holds in memory is not for a file
		{"memlock", unix.RLIMIT_MEMLOCK, 0},   // bytes
		{"msgqueue", unix.RLIMIT_MSGQUEUE, 0}, // bytes
		{"rtprio", unix.RLIMIT_RTPRIO, 0},
		{"nice", unix.RLIMIT_NICE, 0},
		{"sigpending", unix.RLIMIT_SIGPENDING, 256},
	}
	for _, l := range limits {
		if err := setLimit(l.resource, l.value); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	if s.Processes == 0 {
		return nil
	}
	if err := setLimit(unix.RLIMIT_NPROC, s.Processes); err != nil {
		return fmt.Errorf("nproc: %w", err)
	}
	return nil
}

// setLimit sets both values, never above what they are.
func setLimit(resource int, value uint64) error {
	var old unix.Rlimit
	if err := unix.Getrlimit(resource, &old); err != nil {
		return err
	}
	value = min(value, old.Max)
	return unix.Setrlimit(resource, &unix.Rlimit{Cur: value, Max: value})
}
