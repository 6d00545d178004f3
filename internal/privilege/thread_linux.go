package privilege

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// What securebits (capabilities(7)) ReExec sets: a process of user 0 gets
// nothing by that when it executes a program, for good.
const rootIsNobody = 1<<0 | 1<<1 // SECBIT_NOROOT, SECBIT_NOROOT_LOCKED

// capNumbers bounds the numbers that are tried; the kernel says EINVAL behind
// its last one. From the width of the sets.
const capNumbers = 64

// header is version 3 of the interface, for the calling thread.
func header() *unix.CapUserHeader {
	return &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
}

// capData is one set of each kind, low and high halves.
type capData [2]unix.CapUserData

func (d *capData) put(permitted, effective, inheritable Set) {
	for i := range d {
		shift := 32 * i
		d[i] = unix.CapUserData{
			Permitted: uint32(permitted >> shift), Effective: uint32(effective >> shift), Inheritable: uint32(inheritable >> shift),
		}
	}
}

func (d *capData) sets() (permitted, effective, inheritable Set) {
	for i := range d {
		shift := 32 * i
		permitted |= Set(d[i].Permitted) << shift
		effective |= Set(d[i].Effective) << shift
		inheritable |= Set(d[i].Inheritable) << shift
	}
	return permitted, effective, inheritable
}

// ofThread reads the sets of the calling thread.
func ofThread() (permitted, effective, inheritable Set, err error) {
	var d capData
	if err := unix.Capget(header(), &d[0]); err != nil {
		return 0, 0, 0, fmt.Errorf("privilege: capget: %w", err)
	}
	permitted, effective, inheritable = d.sets()
	return permitted, effective, inheritable, nil
}

// setThread sets those of the calling thread.
func setThread(permitted, effective, inheritable Set) error {
	var d capData
	d.put(permitted, effective, inheritable)
	if err := unix.Capset(header(), &d[0]); err != nil {
		return fmt.Errorf("privilege: capset: %w", err)
	}
	return nil
}

// reduce leaves the calling thread, and what it executes, with nothing but
// keep. Without CAP_SETPCAP the bounding set stays as it is.
func reduce(keep Set) error {
	permitted, effective, _, err := ofThread()
	if err != nil {
		return err
	}
	keep &= permitted
	if effective.Has(SetPCap) {
		if err := bound(keep); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("privilege: clear ambient set: %w", err)
	}
	if err := setThread(keep, keep, keep); err != nil {
		return err
	}
	for _, c := range keep.Caps() {
		if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, uintptr(c), 0, 0); err != nil {
			return fmt.Errorf("privilege: keep %s: %w", c, err)
		}
	}
	return nil
}

// bound takes everything but keep out of the bounding set, and from user 0
// what it has for being that.
func bound(keep Set) error {
	bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
	if err != nil {
		return fmt.Errorf("privilege: read securebits: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_SECUREBITS, uintptr(bits|rootIsNobody), 0, 0, 0); err != nil {
		return fmt.Errorf("privilege: set securebits: %w", err)
	}
	for c := range Cap(capNumbers) {
		if keep.Has(c) {
			continue
		}
		err := unix.Prctl(unix.PR_CAPBSET_DROP, uintptr(c), 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			return nil // behind the kernel's last one
		}
		if err != nil {
			return fmt.Errorf("privilege: take %s out of the bounding set: %w", c, err)
		}
	}
	return nil
}
