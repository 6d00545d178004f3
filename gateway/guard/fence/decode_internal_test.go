//go:build linux

package fence

import (
	"net/netip"
	"testing"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// FuzzAnswers decodes what no kernel would send.
func FuzzAnswers(f *testing.F) {
	r := rule{kind: passFlow, flow: Flow{Dest: netip.MustParseAddrPort("[fd00::1]:9")}}
	attr, _, err := r.encode(unix.NFPROTO_NETDEV)
	if err != nil {
		f.Fatal(err)
	}
	body := encodeAttrs(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_RULE_TABLE, tableName)
		a.String(unix.NFTA_RULE_CHAIN, "egress-2")
		a.Bytes(unix.NFTA_RULE_EXPRESSIONS|unix.NLA_F_NESTED, attr)
		a.Bytes(unix.NFTA_RULE_USERDATA, comment(commentPrefix+"12"))
	})
	s := &nfSocket{}
	f.Add(s.encode(nfType(unix.NFT_MSG_NEWRULE), netlink.Request, unix.NFPROTO_NETDEV, 0, body))
	f.Add(s.encode(netlink.Error, 0, 0, 0, nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		found := map[chainKey]*chainState{{unix.NFPROTO_NETDEV, "egress-2"}: {}}
		_ = eachMessage(b, func(m netlink.Message) error {
			_ = ackError(m.Data)
			if len(m.Data) < nfHeader {
				return nil
			}
			_ = readRule(found, map[string]rule{}, m.Data[0], m.Data[nfHeader:])
			return readChain(found, m.Data[0], m.Data[nfHeader:])
		})
		if len(found) > 1+len(b) {
			t.Errorf("%d chains of %d bytes", len(found), len(b))
		}
	})
}

// TestComment: what nft prints as the comment is read back.
func TestComment(t *testing.T) {
	for text, b := range map[string][]byte{
		"sluice": comment("sluice"),
		"":       {commentType, 9, 'x'},
	} {
		if got := readComment(b); got != text {
			t.Errorf("%q, want %q", got, text)
		}
	}
}

// TestManyFlows: as many flows as are allowed make a program that the kernel
// takes, and one more does not.
func TestManyFlows(t *testing.T) {
	flows := make([]Flow, flowsMost+1)
	for i := range flows {
		addr := netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(i)})
		flows[i] = Flow{Source: addr, Dest: netip.AddrPortFrom(addr, 5000)}
	}
	if _, err := loadProgram(program{egress, flows}); err == nil {
		t.Error("too many flows were taken")
	}
	l, err := loadProgram(program{egress, flows[:flowsMost]})
	if err != nil {
		if unix.Geteuid() != 0 {
			t.Skipf("not root: %v", err)
		}
		t.Fatal(err)
	}
	must(t, l.close())
}
