package fence

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	// filterFirst is the preference of our filters: the lowest runs first.
	filterFirst = 1
	// filterHandle is theirs: with it a filter is replaced in place.
	filterHandle = 1
)

func (d direction) parent() uint32 {
	if d == egress {
		return netlink.HANDLE_MIN_EGRESS
	}
	return netlink.HANDLE_MIN_INGRESS
}

func (d direction) tcx() ebpf.AttachType {
	if d == egress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// learn finds out by which tag the kernel knows each program.
func (k *linuxKernel) learn(programs []program) error {
	for _, p := range programs {
		if _, ok := k.tags[p.String()]; ok {
			continue
		}
		l, err := loadProgram(p)
		if err != nil {
			return err
		}
		k.tags[p.String()] = l.tag
		if err := l.close(); err != nil {
			return err
		}
	}
	return nil
}

// textOf names the program with a tag.
func (k *linuxKernel) textOf(dir direction, tag string) string {
	for text, known := range k.tags {
		if known == tag && len(text) > len(dir) && text[:len(dir)] == string(dir) {
			return text
		}
	}
	return foreign
}

func onLink(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}

func (k *linuxKernel) readProgram(at spot) (programState, error) {
	filters, err := k.filters(at)
	if err != nil {
		return programState{}, err
	}
	var p programState
	if len(filters) > 0 {
		p.runs = foreign
		if f, ok := ours(filters[0]); ok {
			p.runs = k.textOf(at.dir, f.Tag)
			p.mine = k.programs[at] != nil && k.programs[at].id == f.Id
		}
	}
	if l := k.programs[at]; l != nil && p.mine {
		dropped, err1 := l.count(countDropped)
		passed, err2 := l.count(countPassed)
		p.dropped, p.passed, err = dropped, passed, errors.Join(err1, err2)
	}
	if n := tcxPrograms(at); n > 0 {
		p.before = fmt.Sprintf("%d tcx programs", n)
	}
	return p, err
}

// filters lists those of a spot in the order in which they run. There are
// none without clsact.
func (k *linuxKernel) filters(where spot) ([]netlink.Filter, error) {
	filters, err := k.links.FilterList(onLink(where.index), where.dir.parent())
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENODEV) {
		return nil, nil
	}
	return filters, err
}

// ours returns a filter that has the place and form of ours.
func ours(f netlink.Filter) (*netlink.BpfFilter, bool) {
	b, ok := f.(*netlink.BpfFilter)
	return b, ok && b.DirectAction && b.Priority == filterFirst && b.Handle == filterHandle && b.Protocol == unix.ETH_P_ALL
}

// tcxPrograms counts the programs that run before clsact (Linux 6.6).
func tcxPrograms(at spot) int {
	found, err := link.QueryPrograms(link.QueryOptions{Target: at.index, Attach: at.dir.tcx()})
	if err != nil {
		return 0 // this kernel has none
	}
	return len(found.Programs)
}

func (k *linuxKernel) setProgram(c setProgram) error {
	if err := k.clsact(c.spot.index); err != nil {
		return err
	}
	filters, err := k.filters(c.spot)
	if err != nil {
		return err
	}
	for _, f := range filters {
		if _, ok := ours(f); ok || f.Attrs().Priority != filterFirst {
			break
		}
		if err := k.links.FilterDel(f); err != nil {
			return fmt.Errorf("filter of somebody else before ours: %w", err)
		}
	}
	l, err := loadProgram(c.program)
	if err != nil {
		return err
	}
	if err := k.links.FilterReplace(&netlink.BpfFilter{
		FilterAttrs:  attrsOf(c.spot),
		Fd:           l.program.FD(),
		Name:         "sluice " + string(c.spot.dir),
		DirectAction: true,
	}); err != nil {
		return errors.Join(err, l.close())
	}
	before := k.programs[c.spot]
	k.programs[c.spot] = l
	k.tags[c.program.String()] = l.tag
	if before != nil {
		return before.close()
	}
	return nil
}

func attrsOf(at spot) netlink.FilterAttrs {
	return netlink.FilterAttrs{
		LinkIndex: at.index, Parent: at.dir.parent(), Handle: filterHandle, Priority: filterFirst, Protocol: unix.ETH_P_ALL,
	}
}

// clsact puts the queueing discipline there that filters hang on. The older
// "ingress" has the same place and no egress: it gives way.
func (k *linuxKernel) clsact(index int) error {
	all, err := k.links.QdiscList(onLink(index))
	if err != nil {
		return fmt.Errorf("qdisc: %w", err)
	}
	for _, q := range all {
		if q.Type() == "clsact" {
			return nil
		}
		if q.Type() == "ingress" {
			if err := k.links.QdiscDel(q); err != nil {
				return fmt.Errorf("qdisc ingress: %w", err)
			}
		}
	}
	if err := k.links.QdiscAdd(clsactOf(index)); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("qdisc clsact: %w", err)
	}
	return nil
}

func clsactOf(index int) netlink.Qdisc {
	return &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT},
		QdiscType:  "clsact",
	}
}

// dropProgram takes our filter away; clsact stays, others may use it.
func (k *linuxKernel) dropProgram(at spot) error {
	filters, err := k.filters(at)
	if err != nil {
		return err
	}
	for _, f := range filters {
		if b, ok := ours(f); ok {
			if err := k.links.FilterDel(b); err != nil && !errors.Is(err, unix.ENODEV) {
				return err
			}
		}
	}
	return k.forget(at)
}

// forget lets go of the program of a spot.
func (k *linuxKernel) forget(at spot) error {
	l := k.programs[at]
	delete(k.programs, at)
	if l == nil {
		return nil
	}
	return l.close()
}
