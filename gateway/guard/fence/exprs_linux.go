package fence

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Offsets within a frame, in bytes: IEEE 802.3, RFC 791, RFC 8200, RFC 768.
const (
	etherType     = 12
	etherHeader   = 14
	ip4Fragment   = 6 // flags and offset
	ip4Protocol   = 9
	ip4Source     = 12
	ip4Header     = 20 // without options
	ip6Next       = 6
	ip6Source     = 8
	ip6Header     = 40
	udpDest       = 2
	ip4NoOptions  = 0x45 // version and header length
	ip4FragmentOf = 0x3fff
	ip6Version    = 0x60
)

// expressions compiles a rule to those of nf_tables.
func (r rule) expressions() ([]expr.Any, error) {
	switch r.kind {
	case dropAll:
		return counted(nil, expr.VerdictDrop), nil
	case passFlow:
		m, err := r.flow.expressions()
		return counted(m, expr.VerdictAccept), err
	case passDevice:
		return verdict(device(r.index), expr.VerdictAccept), nil
	case passPort, dropPort:
		return r.portExpressions()
	default:
		return nil, fmt.Errorf("rule %s", r)
	}
}

func (r rule) portExpressions() ([]expr.Any, error) {
	proto, ok := map[string]byte{"tcp": unix.IPPROTO_TCP, "udp": unix.IPPROTO_UDP}[r.port.Network]
	if !ok {
		return nil, fmt.Errorf("port %d: network %q, want tcp or udp", r.port.Port, r.port.Network)
	}
	port := []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: udpDest, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.BigEndian.AppendUint16(nil, r.port.Port)},
	}
	if r.kind == passPort {
		return verdict(append(device(r.index), port...), expr.VerdictAccept), nil
	}
	return counted(port, expr.VerdictDrop), nil
}

// device matches the interface that a packet arrived at.
func device(index int) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, uint32(index))},
	}
}

// expressions match one flow: untagged, without IPv4 options, no fragment.
// The type in the frame tells tagged frames even when the kernel has taken
// the tag out.
func (f Flow) expressions() ([]expr.Any, error) {
	if f.Dest.Addr().Is4() {
		out := slices.Concat(
			same(expr.PayloadBaseLLHeader, etherType, binary.BigEndian.AppendUint16(nil, unix.ETH_P_IP)),
			same(expr.PayloadBaseNetworkHeader, 0, []byte{ip4NoOptions}),
			masked(ip4Fragment, binary.BigEndian.AppendUint16(nil, ip4FragmentOf), []byte{0, 0}),
			same(expr.PayloadBaseNetworkHeader, ip4Protocol, []byte{unix.IPPROTO_UDP}))
		return f.addresses(out, ip4Source, ip4Header)
	}
	out := slices.Concat(
		same(expr.PayloadBaseLLHeader, etherType, binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)),
		masked(0, []byte{0xf0}, []byte{ip6Version}),
		same(expr.PayloadBaseNetworkHeader, ip6Next, []byte{unix.IPPROTO_UDP}))
	return f.addresses(out, ip6Source, ip6Header)
}

// addresses adds the addresses, from an offset on, and the port behind the
// header.
func (f Flow) addresses(out []expr.Any, at, header uint32) ([]expr.Any, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	dest := f.Dest.Addr().AsSlice()
	if f.Source.IsValid() {
		out = append(out, same(expr.PayloadBaseNetworkHeader, at, f.Source.AsSlice())...)
	}
	out = append(out, same(expr.PayloadBaseNetworkHeader, at+uint32(len(dest)), dest)...)
	return append(out, same(expr.PayloadBaseNetworkHeader, header+udpDest, binary.BigEndian.AppendUint16(nil, f.Dest.Port()))...), nil
}

func same(base expr.PayloadBase, offset uint32, want []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(want))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
	}
}

func masked(offset uint32, mask, want []byte) []expr.Any {
	n := uint32(len(mask))
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: n, Mask: mask, Xor: make([]byte, n)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: want},
	}
}

func counted(match []expr.Any, v expr.VerdictKind) []expr.Any {
	return verdict(append(match, &expr.Counter{}), v)
}

func verdict(match []expr.Any, v expr.VerdictKind) []expr.Any {
	return append(match, &expr.Verdict{Kind: v})
}

// encode returns the expressions as the attribute that a rule carries, and
// their canonical form.
func (r rule) encode(family uint8) (attr []byte, canonical string, err error) {
	exprs, err := r.expressions()
	if err != nil {
		return nil, "", err
	}
	attr = encodeAttrs(func(a *netlink.AttributeEncoder) {
		for _, e := range exprs {
			b, failed := expr.Marshal(family, e)
			if failed != nil {
				err = failed
				return
			}
			a.Bytes(unix.NFTA_LIST_ELEM|unix.NLA_F_NESTED, b)
		}
	})
	if err != nil {
		return nil, "", fmt.Errorf("rule %s: %w", r, err)
	}
	canonical, _, err = canonicalRule(attr)
	return attr, canonical, err
}

// canonicalRule turns the expressions of a rule, as they are sent or listed,
// into text that does not depend on the order of attributes or on counters.
// It returns the frames that a counter of the rule counted as well.
func canonicalRule(attr []byte) (canonical string, frames uint64, err error) {
	var words []string
	err = eachAttr(attr, func(elem *netlink.AttributeDecoder) {
		var name, data string
		elem.Do(func(b []byte) error {
			return eachAttr(b, func(a *netlink.AttributeDecoder) {
				switch a.Type() {
				case unix.NFTA_EXPR_NAME:
					name = a.String()
				case unix.NFTA_EXPR_DATA:
					a.Do(func(b []byte) error {
						var err error
						if name == "counter" {
							frames, err = counterFrames(b)
							return err
						}
						data, err = canonicalAttrs(name, b)
						return err
					})
				}
			})
		})
		words = append(words, name+"{"+data+"}")
	})
	return strings.Join(words, " "), frames, err
}

// nestedData lists, per expression, the attributes that hold attributes
// (linux/netfilter/nf_tables.h). The verdict of an immediate holds some again,
// under the same number.
func nestedData() map[string][]uint16 {
	return map[string][]uint16{
		"immediate": {unix.NFTA_IMMEDIATE_DATA}, "cmp": {unix.NFTA_CMP_DATA}, "bitwise": {unix.NFTA_BITWISE_MASK, unix.NFTA_BITWISE_XOR},
	}
}

func canonicalAttrs(name string, b []byte) (string, error) {
	var out []string
	err := eachAttr(b, func(a *netlink.AttributeDecoder) {
		if slices.Contains(nestedData()[name], a.Type()) {
			a.Do(func(b []byte) error {
				inner := ""
				if name == "immediate" {
					inner = name
				}
				data, err := canonicalAttrs(inner, b)
				out = append(out, fmt.Sprintf("%d={%s}", a.Type(), data))
				return err
			})
			return
		}
		data := hex.EncodeToString(a.Bytes())
		if zero := strings.Trim(data, "0") == ""; zero && len(data) == 8 {
			return // left out or zero: the same
		}
		out = append(out, fmt.Sprintf("%d=%s", a.Type(), data))
	})
	slices.Sort(out)
	return strings.Join(out, " "), err
}

func counterFrames(b []byte) (frames uint64, err error) {
	err = eachAttr(b, func(a *netlink.AttributeDecoder) {
		if a.Type() == unix.NFTA_COUNTER_PACKETS {
			frames = a.Uint64()
		}
	})
	return frames, err
}
