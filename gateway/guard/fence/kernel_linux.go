package fence

import (
	"errors"
	"fmt"
	"maps"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// linuxKernel is the real kernel. It has one user at a time.
type linuxKernel struct {
	table *Table          // nil: there is no nftables
	links *netlink.Handle // rtnetlink, in the namespace where it was made
	// programs are those that run for us, by where.
	programs map[spot]*loaded
	// tags are those of the code of each program, by its text.
	tags map[string]string
	// kept is what setDown took away and setUp puts back, by index.
	kept map[int]belongings
}

func openKernel(table *Table) (*linuxKernel, error) {
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("netlink: %w", err)
	}
	return &linuxKernel{table: table, links: links, programs: map[spot]*loaded{}, tags: map[string]string{}, kept: map[int]belongings{}}, nil
}

// read implements kernel.
func (k *linuxKernel) read(look look) (state, error) {
	s := state{programs: map[spot]programState{}, chains: map[string]chainState{}}
	if err := k.readLinks(&s, look.indexes); err != nil {
		return state{}, fmt.Errorf("interfaces: %w", err)
	}
	if k.table != nil {
		if err := k.readChains(&s, look.rules); err != nil {
			return state{}, fmt.Errorf("nftables: %w", err)
		}
	}
	if err := k.learn(look.programs); err != nil {
		return state{}, err
	}
	for _, at := range k.spots(s, look.indexes) {
		if _, ok := s.links[at.index]; !ok {
			if err := k.forget(at); err != nil { // it went with its interface
				return state{}, err
			}
			continue
		}
		p, err := k.readProgram(at)
		if err != nil {
			return state{}, fmt.Errorf("#%d: tc %s: %w", at.index, at.dir, err)
		}
		s.programs[at] = p
	}
	return s, readSettings(&s, look.settings)
}

// spots lists where to look for programs: at what was asked for, and at what
// has a chain or a program of ours.
func (k *linuxKernel) spots(s state, indexes []int) []spot {
	wanted := map[spot]bool{}
	for _, index := range indexes {
		wanted[spot{index, egress}], wanted[spot{index, ingress}] = true, true
	}
	for name := range s.chains {
		if at, ok := spotOf(name); ok {
			wanted[at] = true
		}
	}
	for at := range k.programs {
		wanted[at] = true
	}
	out := make([]spot, 0, len(wanted))
	for at := range maps.Keys(wanted) {
		out = append(out, at)
	}
	return out
}

// do implements kernel.
func (k *linuxKernel) do(c change) error {
	err := k.carryOut(c)
	if err != nil {
		return fmt.Errorf("%s: %w", c, err)
	}
	return nil
}

func (k *linuxKernel) carryOut(c change) error {
	switch c := c.(type) {
	case setDown:
		return k.setDown(c)
	case setUp:
		return k.setUp(c)
	case setChain:
		return k.setChain(c)
	case dropChain:
		err := k.table.nf.batch(chainGone(unix.NFPROTO_NETDEV, c.name))
		if errors.Is(err, unix.ENOENT) {
			return nil // it went with its interface
		}
		return err
	case setInput:
		return k.setInput(c)
	case dropTables:
		return k.table.remove()
	case setProgram:
		return k.setProgram(c)
	case dropProgram:
		return k.dropProgram(c.spot)
	case set:
		return k.set(c)
	case dropAddress:
		return k.dropAddress(c)
	default:
		return errors.New("unknown change")
	}
}

// close lets go of every handle but the table's; what stands keeps standing.
func (k *linuxKernel) close() error {
	k.links.Close()
	var errs []error
	for _, l := range k.programs {
		errs = append(errs, l.close())
	}
	return errors.Join(errs...)
}
