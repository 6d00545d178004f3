package sandbox

import (
	"fmt"
	"slices"

	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// Verdicts of a filter (seccomp(2), linux/seccomp.h).
const (
	retKill  = 0x80000000 // the whole process
	retErrno = 0x00050000 // the error's number is added
	retAllow = 0x7fff0000
)

// Places in struct seccomp_data (seccomp(2)), in bytes.
const (
	dataCall = 0
	dataArch = 4
	dataArgs = 16 // six values of eight bytes
)

// program assembles the filter for one architecture.
//
//	architecture ≠ ours ─► kill
//	number unknown to our tables ─► ENOSYS     newer than this list: libraries take their older way
//	number = N ─► its checks ─► allow | EPERM  for each of the list
//	later ─► ENOSYS;  anything else ─► EPERM
//
// Every block begins with the number loaded anew, so that what a check has loaded never meets the next comparison.
func program(on *arch.Info, self int) ([]bpf.Instruction, error) {
	out := []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(on.ID), SkipTrue: 1},
		bpf.RetConstant{Val: retKill},
		bpf.LoadAbsolute{Off: dataCall, Size: 4},
	}
	last := uint32(0)
	for n := range on.SyscallNumbers {
		last = max(last, uint32(n))
	}
	out = append(out, bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: last, SkipFalse: 1}, refuse(unix.ENOSYS))
	for _, name := range plain() {
		out = appendCall(out, on, name, allow())
	}
	for _, name := range later() {
		out = appendCall(out, on, name, refuse(unix.ENOSYS))
	}
	for _, r := range checked(uint64(self)) {
		block, err := r.assemble()
		if err != nil {
			return nil, err
		}
		out = appendCall(out, on, r.name, block...)
	}
	return append(out, refuse(unix.EPERM)), nil
}

func allow() bpf.Instruction { return bpf.RetConstant{Val: retAllow} }

func refuse(errno unix.Errno) bpf.Instruction { return bpf.RetConstant{Val: retErrno | uint32(errno)} }

// appendCall adds what happens to a call; body must return. The number is in the accumulator before and after.
func appendCall(out []bpf.Instruction, on *arch.Info, name string, body ...bpf.Instruction) []bpf.Instruction {
	n, ok := on.SyscallNames[name]
	if !ok {
		return out
	}
	out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(n), SkipFalse: uint8(len(body))})
	return append(out, body...)
}

// assemble renders the checks of a call: EPERM at the first that does not hold.
func (r rule) assemble() ([]bpf.Instruction, error) {
	var out []bpf.Instruction
	for _, c := range r.checks {
		out = append(out, c.assemble()...)
	}
	out = append(out, allow())
	if len(out) > 255 { // a jump's reach
		return nil, fmt.Errorf("%s: too many checks", r.name)
	}
	return out, nil
}

// assemble goes on behind itself when the check holds. With a value above 32 bits the two halves would have to be
// tried per value; none of ours has one: the upper half must be zero where the mask asks for it.
func (c check) assemble() []bpf.Instruction {
	var out []bpf.Instruction
	if high := uint32(c.mask >> 32); high != 0 {
		out = append(out,
			bpf.LoadAbsolute{Off: dataArgs + 8*c.arg + 4, Size: 4}, // little endian: see supported
			bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: high},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
			refuse(unix.EPERM))
	}
	out = append(out,
		bpf.LoadAbsolute{Off: dataArgs + 8*c.arg, Size: 4},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: uint32(c.mask)})
	for i, v := range c.values {
		behind := uint8(len(c.values) - i)
		out = append(out, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(v), SkipTrue: behind})
	}
	return append(out, refuse(unix.EPERM))
}

// supported are the architectures whose numbers and order of bytes the program is made for.
func supported(on *arch.Info) bool {
	return slices.Contains([]*arch.Info{arch.X86_64, arch.AARCH64}, on)
}
