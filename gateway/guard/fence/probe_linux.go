package fence

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/mdlayher/netlink"
	rtnetlink "github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// verdictNext is TC_ACT_UNSPEC of linux/pkt_cls.h: as if there was no filter.
const verdictNext = -1

// openProbed opens the kernel and finds out what it has.
func openProbed(o Options) (kernel, features, error) {
	k, err := openKernel(o.Table)
	if err != nil {
		return nil, features{}, fmt.Errorf("guard: fence: %w", err)
	}
	has, err := k.probe(o.Single)
	if err != nil {
		return nil, features{}, errors.Join(err, k.close())
	}
	if !has.nft {
		k.table = nil
	}
	return k, has, nil
}

// probe tries each feature on the loopback interface, where it changes
// nothing: an accepting chain, a program that has no opinion.
func (k *linuxKernel) probe(single bool) (features, error) {
	nft, tc := k.probeChain(), k.probeProgram()
	for _, err := range []error{nft, tc} {
		if errors.Is(err, os.ErrPermission) {
			return features{}, fmt.Errorf("guard: fence: CAP_NET_ADMIN and CAP_BPF are needed: %w", err)
		}
	}
	has := features{nft: nft == nil, tc: tc == nil}
	missing := &MissingError{}
	if !has.nft {
		missing.Features = append(missing.Features, fmt.Sprintf("nftables netdev egress hook (Linux 5.16, CONFIG_NETFILTER_EGRESS, CONFIG_NF_TABLES_NETDEV: %v)", nft))
		missing.Remaining = "tc egress"
	}
	if !has.tc {
		missing.Features = append(missing.Features, fmt.Sprintf("eBPF programs on clsact (CONFIG_NET_SCH_INGRESS, CONFIG_NET_CLS_BPF, CONFIG_BPF_SYSCALL: %v)", tc))
		missing.Remaining = "nft egress"
	}
	switch {
	case has.nft && has.tc, single && (has.nft || has.tc):
		return has, nil
	case !has.nft && !has.tc:
		missing.Remaining = ""
	}
	return features{}, missing
}

// probeChain makes an egress chain and takes it away in the same transaction.
func (k *linuxKernel) probeChain() error {
	if k.table == nil {
		return errors.New("no nftables")
	}
	const name = "probe"
	chain := encodeAttrs(func(a *netlink.AttributeEncoder) {
		a.String(unix.NFTA_CHAIN_TABLE, tableName)
		a.String(unix.NFTA_CHAIN_NAME, name)
		nested(a, unix.NFTA_CHAIN_HOOK, func(a *netlink.AttributeEncoder) {
			a.Uint32(unix.NFTA_HOOK_HOOKNUM, hookNetdevEgress)
			a.Uint32(unix.NFTA_HOOK_PRIORITY, 0)
			a.String(unix.NFTA_HOOK_DEV, "lo")
		})
		a.Uint32(unix.NFTA_CHAIN_POLICY, policyAccept)
		a.String(unix.NFTA_CHAIN_TYPE, "filter")
	})
	return k.table.nf.batch(
		nfMessage{kind: unix.NFT_MSG_NEWCHAIN, flags: netlink.Create, family: unix.NFPROTO_NETDEV, attrs: chain},
		chainGone(unix.NFPROTO_NETDEV, name))
}

// probeProgram hangs a program on the loopback interface and takes it away.
func (k *linuxKernel) probeProgram() (err error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "sluice_probe", Type: ebpf.SchedCLS, License: "Apache-2.0",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdictNext), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("program: %w", err)
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	made, err := k.probeClsact()
	if err != nil {
		return err
	}
	if made {
		defer func() { err = errors.Join(err, k.links.QdiscDel(clsactOf(loopbackIndex))) }()
	}
	filter := &rtnetlink.BpfFilter{
		FilterAttrs:  rtnetlink.FilterAttrs{LinkIndex: loopbackIndex, Parent: egress.parent(), Handle: probeHandle, Priority: probePriority, Protocol: unix.ETH_P_ALL},
		Fd:           program.FD(),
		Name:         "sluice probe",
		DirectAction: true,
	}
	if err := k.links.FilterReplace(filter); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	return k.links.FilterDel(filter)
}

// probeHandle and probePriority are out of the way of other filters.
const (
	probeHandle   = 0x5ce
	probePriority = 0x5ce
)

// probeClsact makes the queueing discipline, unless it is there.
func (k *linuxKernel) probeClsact() (made bool, err error) {
	err = k.links.QdiscAdd(clsactOf(loopbackIndex))
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("clsact: %w", err)
	}
	return true, nil
}
