package sandbox

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// dropPrivileges leaves the thread without a capability, now and after any execve, and makes it another user where
// the Spec says so. Only the calling thread changes, which is enough: the others end with execve.
func dropPrivileges(s *Spec) error {
	if err := dropBounding(); err != nil {
		return err
	}
	if err := becomeUser(s); err != nil {
		return err
	}
	if err := dropCapabilities(); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	// The host has set the signal, but a change of user clears it, and the gateway may have ended before.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("parent death signal: %w", err)
	}
	return checkAlive()
}

// dropBounding empties the bounding and ambient sets and keeps user 0 from being special (capabilities(7)). Without
// CAP_SETPCAP, as of an ordinary user outside a user namespace, there is nothing to take from: no_new_privs holds.
func dropBounding() error {
	held, err := capabilities()
	if err != nil {
		return err
	}
	if held[0].Effective&(1<<unix.CAP_SETPCAP) == 0 {
		return nil
	}
	for c := uintptr(0); ; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // one more than the kernel's last
		}
		if err != nil {
			return fmt.Errorf("bounding set: %w", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("ambient set: %w", err)
	}
	return lockSecurebits()
}

// Bits of linux/securebits.h; the lock of each is the next higher bit.
const (
	secNoRoot         = 1 << 0
	secNoAmbientRaise = 1 << 6
)

// lockSecurebits keeps user 0 from being special and ambient capabilities from coming back. What an earlier process has
// locked stays as it is.
func lockSecurebits() error {
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("securebits: %w", err)
	}
	for _, b := range []int{secNoRoot, secNoAmbientRaise} {
		if bits&(b<<1) == 0 {
			bits |= b | b<<1
		}
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits), 0, 0, 0); err != nil {
		return fmt.Errorf("securebits: %w", err)
	}
	return nil
}

func becomeUser(s *Spec) error {
	if s.UID == Stay || s.GID == Stay {
		return nil
	}
	if err := raw(unix.SYS_SETGROUPS, 0, 0, 0); err != nil {
		return fmt.Errorf("groups: %w", err)
	}
	gid, uid := uintptr(s.GID), uintptr(s.UID)
	if err := raw(unix.SYS_SETRESGID, gid, gid, gid); err != nil {
		return fmt.Errorf("group %d: %w", s.GID, err)
	}
	if err := raw(unix.SYS_SETRESUID, uid, uid, uid); err != nil {
		return fmt.Errorf("user %d: %w", s.UID, err)
	}
	return nil
}

// raw calls the kernel for the calling thread alone; the library's wrappers change all threads.
func raw(call, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(call, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

func capabilities() ([2]unix.CapUserData, error) {
	var held [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(&head, &held[0]); err != nil {
		return held, fmt.Errorf("capabilities: %w", err)
	}
	return held, nil
}

func dropCapabilities() error {
	var none [2]unix.CapUserData
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capset(&head, &none[0]); err != nil {
		return fmt.Errorf("capabilities: %w", err)
	}
	held, err := capabilities()
	if err != nil {
		return err
	}
	if held != none {
		return fmt.Errorf("capabilities are left: %x", held)
	}
	return nil
}
