package guard

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/net/bpf"
)

// Offsets in bytes into an untagged Ethernet frame (IEEE 802.3, RFC 791, RFC
// 8200, RFC 768).
const (
	offEtherType = 12
	offIP        = 14

	off4Fragment = offIP + 6
	off4Protocol = offIP + 9
	off4Source   = offIP + 12
	off4Dest     = offIP + 16
	off4Port     = offIP + 20 + 2

	off6Next   = offIP + 6
	off6Source = offIP + 8
	off6Dest   = offIP + 24
	off6Port   = offIP + 40 + 2

	etherIPv4 = 0x0800
	etherIPv6 = 0x86dd
	etherVLAN = 0x8100
	tagBytes  = 4

	firstByte4   = 0x45   // version 4, no options
	laterPart    = 0x1fff // fragment offset: no UDP header in it
	protoUDP     = 17
	nextFragment = 44

	wholeFrame = 1 << 18 // bytes to keep: more than any frame has
)

// program builds a classic BPF program (Linux' socket filter) of checks that
// each pass on or refuse.
type program struct {
	code  []bpf.Instruction
	fails []int // jumps to the refusal at the end
}

// load reads size bytes at off, behind the tag when there is one.
func (p *program) load(off, size int) {
	p.code = append(p.code, bpf.LoadIndirect{Off: uint32(off), Size: size})
}

// want refuses unless what was loaded is v.
func (p *program) want(v uint32) {
	p.fails = append(p.fails, len(p.code))
	p.code = append(p.code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: v})
}

func (p *program) wantAddr(off int, addr netip.Addr) {
	for b := addr.AsSlice(); len(b) > 0; b = b[4:] {
		p.load(off, 4)
		p.want(binary.BigEndian.Uint32(b))
		off += 4
	}
}

// wantEnds compares the addresses that are given.
func (p *program) wantEnds(offSource int, source netip.Addr, offDest int, dest netip.Addr) {
	if source.IsValid() {
		p.wantAddr(offSource, source)
	}
	if !dest.IsUnspecified() {
		p.wantAddr(offDest, dest)
	}
}

// finish appends acceptance and refusal, and assembles.
func (p *program) finish() ([]bpf.RawInstruction, error) {
	p.code = append(p.code, bpf.RetConstant{Val: wholeFrame}, bpf.RetConstant{Val: 0})
	refuse := len(p.code) - 1
	for _, at := range p.fails {
		jump := p.code[at].(bpf.JumpIf)
		jump.SkipFalse = uint8(refuse - at - 1) // the program is shorter than 256 instructions
		p.code[at] = jump
	}
	raw, err := bpf.Assemble(p.code)
	if err != nil {
		return nil, fmt.Errorf("filter: %w", err)
	}
	return raw, nil
}

// captureFilter lets UDP from source to listen pass, and its fragments.
func captureFilter(source netip.Addr, listen netip.AddrPort) ([]bpf.RawInstruction, error) {
	dest := listen.Addr().Unmap().WithZone("")
	source = source.Unmap().WithZone("")
	switch {
	case !listen.IsValid() || listen.Port() == 0:
		return nil, fmt.Errorf("listen %s: want an address and a port", listen)
	case source.IsValid() && source.Is4() != dest.Is4():
		return nil, fmt.Errorf("source %s and listen %s are not of one IP version", source, listen)
	}
	p := &program{code: []bpf.Instruction{
		// X is how far a tag moves everything: the kernel takes the outer one
		// off, but some drivers leave another.
		bpf.LoadConstant{Dst: bpf.RegX, Val: 0},
		bpf.LoadAbsolute{Off: offEtherType, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherVLAN, SkipTrue: 1},
		bpf.LoadConstant{Dst: bpf.RegX, Val: tagBytes},
	}}
	p.load(offEtherType, 2)
	if dest.Is4() {
		p.udp4(source, dest, listen.Port())
	} else {
		p.udp6(source, dest, listen.Port())
	}
	return p.finish()
}

func (p *program) udp4(source, dest netip.Addr, port uint16) {
	p.want(etherIPv4)
	p.load(offIP, 1)
	p.want(firstByte4)
	p.load(off4Protocol, 1)
	p.want(protoUDP)
	p.wantEnds(off4Source, source, off4Dest, dest)
	p.load(off4Fragment, 2)
	p.code = append(p.code, bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: laterPart, SkipTrue: 2})
	p.load(off4Port, 2)
	p.want(uint32(port))
}

func (p *program) udp6(source, dest netip.Addr, port uint16) {
	p.want(etherIPv6)
	p.wantEnds(off6Source, source, off6Dest, dest)
	p.load(off6Next, 1)
	p.code = append(p.code, bpf.JumpIf{Cond: bpf.JumpEqual, Val: nextFragment, SkipTrue: 3})
	p.want(protoUDP)
	p.load(off6Port, 2)
	p.want(uint32(port))
}
