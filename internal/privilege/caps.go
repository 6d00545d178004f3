package privilege

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"
)

// Cap is one capability, by its number in linux/capability.h.
type Cap uint8

// The capabilities that parts of Sluice name. From linux/capability.h.
const (
	Chown          Cap = 0
	DACOverride    Cap = 1
	Kill           Cap = 5
	SetGID         Cap = 6
	SetUID         Cap = 7
	SetPCap        Cap = 8
	NetBindService Cap = 10
	NetAdmin       Cap = 12
	NetRaw         Cap = 13
	SysAdmin       Cap = 21
	BPF            Cap = 39
)

// words are the names of all capabilities, by number. From
// linux/capability.h, without CAP_.
const words = "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE " +
	"NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE " +
	"SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE " +
	"AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"

// String returns the name, such as "CAP_NET_ADMIN".
func (c Cap) String() string {
	if all := strings.Fields(words); int(c) < len(all) {
		return "CAP_" + all[c]
	}
	return fmt.Sprintf("CAP_%d", uint8(c))
}

// Set is a set of capabilities, one bit each.
type Set uint64

// SetOf returns the set of caps.
func SetOf(caps ...Cap) Set {
	var s Set
	for _, c := range caps {
		s |= 1 << c
	}
	return s
}

// Has reports whether c is in the set.
func (s Set) Has(c Cap) bool { return c < 64 && s&(1<<c) != 0 }

// Caps lists the set, lowest number first.
func (s Set) Caps() []Cap {
	out := make([]Cap, 0, bits.OnesCount64(uint64(s)))
	for c := range Cap(64) {
		if s.Has(c) {
			out = append(out, c)
		}
	}
	return out
}

// String lists the names, or says "none".
func (s Set) String() string {
	if s == 0 {
		return "none"
	}
	names := make([]string, 0, 64)
	for _, c := range s.Caps() {
		names = append(names, c.String())
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}
