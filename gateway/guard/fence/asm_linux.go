package fence

import (
	"encoding/binary"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

const (
	// offsets in struct __sk_buff of linux/bpf.h
	skbVLAN     = 20
	skbSegments = 164
	// verdicts of linux/pkt_cls.h
	verdictPass = 0 // TC_ACT_OK
	verdictDrop = 2 // TC_ACT_SHOT
	// keys of the map of counters
	countDropped = 0
	countPassed  = 1
	// flowsMost bounds the flows of one program. Ours: 64 flows are some
	// 1500 instructions of the 4096 that every kernel takes.
	flowsMost = 64
	// frameAt is where the program keeps the headers on its stack, so that
	// the network header lies at a multiple of 4; keyAt the key of the
	// counter.
	frameAt = -62
	keyAt   = -72
)

// assemble compiles the program. The counters are in a map of its own.
//
//	tagged? ──> drop       IPv4? ─> no options, no fragment, UDP ─> flow? ─> pass
//	                       IPv6? ─> UDP ───────────────────────────> flow? ─> pass
//	                       otherwise, and what is too short ───────────────> drop
//
// The headers are read with skb_load_bytes, so that it does not matter whether
// they lie in one piece. Of a frame that is yet to be segmented they are those
// of every segment.
func (p program) assemble(counters *ebpf.Map) (*ebpf.ProgramSpec, error) {
	if len(p.flows) > flowsMost {
		return nil, fmt.Errorf("%d flows, at most %d", len(p.flows), flowsMost)
	}
	code := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	if len(p.flows) > 0 {
		match, err := p.matchFlows()
		if err != nil {
			return nil, err
		}
		code = append(code, match...)
	}
	code = append(code, count("drop", countDropped, counters, asm.Mov.Imm(asm.R7, 1))...)
	code = append(code, asm.Mov.Imm(asm.R0, verdictDrop), asm.Return())
	if len(p.flows) > 0 {
		code = append(code, count("pass", countPassed, counters,
			asm.LoadMem(asm.R7, asm.R6, skbSegments, asm.Word),
			asm.JNE.Imm(asm.R7, 0, "segmented"),
			asm.Mov.Imm(asm.R7, 1),
			asm.Mov.Reg(asm.R7, asm.R7).WithSymbol("segmented"))...)
		code = append(code, asm.Mov.Imm(asm.R0, verdictPass), asm.Return())
	}
	return &ebpf.ProgramSpec{Name: "sluice_" + string(p.dir), Type: ebpf.SchedCLS, Instructions: code, License: "Apache-2.0"}, nil
}

func (p program) matchFlows() (asm.Instructions, error) {
	var flows4, flows6 []Flow
	for _, f := range p.flows {
		if err := f.check(); err != nil {
			return nil, err
		}
		if f.Dest.Addr().Is4() {
			flows4 = append(flows4, f)
		} else {
			flows6 = append(flows6, f)
		}
	}
	code := asm.Instructions{
		asm.LoadMem(asm.R0, asm.R6, skbVLAN, asm.Word),
		asm.JNE.Imm(asm.R0, 0, "drop"),
	}
	code = append(code, load(etherHeader, "drop")...)
	code = append(code, differs(etherType, network16(unix.ETH_P_IP), asm.Half, "six")...)
	code = append(code, match4(flows4)...)
	code = append(code, asm.LoadMem(asm.R0, asm.RFP, frameAt+etherType, asm.Half).WithSymbol("six"))
	code = append(code, asm.JNE.Imm(asm.R0, network16(unix.ETH_P_IPV6), "drop"))
	code = append(code, match6(flows6)...)
	return append(code, asm.Ja.Label("drop")), nil
}

func match4(flows []Flow) asm.Instructions {
	code := load(etherHeader+ip4Header+udpDest+2, "drop")
	code = append(code, differs(etherHeader, ip4NoOptions, asm.Byte, "drop")...)
	code = append(code,
		asm.LoadMem(asm.R0, asm.RFP, frameAt+etherHeader+ip4Fragment, asm.Half),
		asm.And.Imm(asm.R0, network16(ip4FragmentOf)),
		asm.JNE.Imm(asm.R0, 0, "drop"))
	code = append(code, differs(etherHeader+ip4Protocol, unix.IPPROTO_UDP, asm.Byte, "drop")...)
	for i, f := range flows {
		code = append(code, matchFlow(f, ip4Source, ip4Header, fmt.Sprintf("four%d", i+1))...)
		code = append(code, asm.Mov.Reg(asm.R6, asm.R6).WithSymbol(fmt.Sprintf("four%d", i+1)))
	}
	return append(code, asm.Ja.Label("drop"))
}

func match6(flows []Flow) asm.Instructions {
	code := load(etherHeader+ip6Header+udpDest+2, "drop")
	code = append(code,
		asm.LoadMem(asm.R0, asm.RFP, frameAt+etherHeader, asm.Byte),
		asm.And.Imm(asm.R0, 0xf0),
		asm.JNE.Imm(asm.R0, ip6Version, "drop"))
	code = append(code, differs(etherHeader+ip6Next, unix.IPPROTO_UDP, asm.Byte, "drop")...)
	for i, f := range flows {
		code = append(code, matchFlow(f, ip6Source, ip6Header, fmt.Sprintf("six%d", i+1))...)
		code = append(code, asm.Mov.Reg(asm.R6, asm.R6).WithSymbol(fmt.Sprintf("six%d", i+1)))
	}
	return code
}

// matchFlow jumps to "pass" when addresses and port fit, else to next.
func matchFlow(f Flow, source, header int, next string) asm.Instructions {
	var code asm.Instructions
	dest := f.Dest.Addr().AsSlice()
	if f.Source.IsValid() {
		code = append(code, differsBytes(etherHeader+source, f.Source.AsSlice(), next)...)
	}
	code = append(code, differsBytes(etherHeader+source+len(dest), dest, next)...)
	code = append(code, differs(etherHeader+header+udpDest, network16(f.Dest.Port()), asm.Half, next)...)
	return append(code, asm.Ja.Label("pass"))
}

// load copies the first bytes of the frame to the stack.
func load(bytes int32, short string) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.RFP),
		asm.Add.Imm(asm.R3, frameAt),
		asm.Mov.Imm(asm.R4, bytes),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, short),
	}
}

// differs jumps when what lies at an offset is something else.
func differs(at int, want int32, size asm.Size, to string) asm.Instructions {
	return asm.Instructions{
		asm.LoadMem(asm.R0, asm.RFP, int16(frameAt+at), size),
		asm.JNE.Imm(asm.R0, want, to),
	}
}

// differsBytes compares 4 bytes at a time, in the lower halves of registers.
func differsBytes(at int, want []byte, to string) asm.Instructions {
	var code asm.Instructions
	for i := 0; i < len(want); i += 4 {
		word := int32(binary.NativeEndian.Uint32(want[i:]))
		code = append(code,
			asm.LoadMem(asm.R0, asm.RFP, int16(frameAt+at+i), asm.Word),
			asm.JNE.Imm32(asm.R0, word, to))
	}
	return code
}

// network16 is the number as a load of two bytes in network order reads it.
func network16(n uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)))
}

// count adds R7, which by sets, to a counter of this CPU.
func count(label string, key int64, counters *ebpf.Map, by ...asm.Instruction) asm.Instructions {
	by[0] = by[0].WithSymbol(label)
	return append(append(asm.Instructions{}, by...),
		asm.StoreImm(asm.RFP, keyAt, key, asm.Word),
		asm.LoadMapPtr(asm.R1, counters.FD()),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, keyAt),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, label+" done"),
		asm.StoreXAdd(asm.R0, asm.R7, asm.DWord),
		asm.Mov.Reg(asm.R7, asm.R7).WithSymbol(label+" done"),
	)
}
