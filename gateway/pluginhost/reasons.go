package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// whyNoNamespaces finds the words for a process that could not be started in namespaces, or "" when they are not to
// blame.
func whyNoNamespaces(err error) string {
	if !slices.ContainsFunc([]error{unix.EPERM, unix.EACCES, unix.ENOSPC, unix.EUSERS, unix.EINVAL, unix.ENOSYS},
		func(e error) bool { return errors.Is(err, e) }) {
		return ""
	}
	if why := forbidding(); why != "" && os.Geteuid() != 0 {
		return "user namespaces are forbidden here (" + why + ")"
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EUSERS):
		return fmt.Sprintf("the limit of namespaces is reached (%v): see /proc/sys/user", err)
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOSYS):
		return fmt.Sprintf("this kernel is built without them (%v)", err)
	case os.Geteuid() == 0:
		return fmt.Sprintf("user 0 without its capabilities, or in a container that filters calls, may not make them (%v)", err)
	default:
		return fmt.Sprintf("user namespaces are forbidden here, by a container's filter or a security module (%v)", err)
	}
}

// forbidding names the setting with which a distribution keeps ordinary users from user namespaces, or "".
func forbidding() string {
	for _, k := range []struct{ name, value string }{
		{"user.max_user_namespaces", "0"},
		{"kernel.unprivileged_userns_clone", "0"},
		{"kernel.apparmor_restrict_unprivileged_userns", "1"},
	} {
		raw, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(k.name, ".", "/"))
		if err == nil && strings.TrimSpace(string(raw)) == k.value {
			return k.name + " = " + k.value
		}
	}
	return ""
}
