package fence

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// fake is a kernel that prints its state as text.
type fake struct {
	links    map[int]*linkState
	chains   map[string]chainState
	input    chainState
	programs map[spot]fakeProgram
	settings map[int]map[string]string
	process  int              // whose programs are mine
	refuse   map[string]error // by the text of the change
	lie      bool             // programs are not there when read back
	done     []string         // changes since the last look at it
	closed   bool
}

type fakeProgram struct {
	text, before    string
	process         int
	dropped, passed uint64
}

// newFake has lo, and interfaces of these names from index 2 on, up, with the
// settings of a new machine.
func newFake(names ...string) *fake {
	k := &fake{
		links: map[int]*linkState{1: {name: "lo", up: true}}, chains: map[string]chainState{}, programs: map[spot]fakeProgram{},
		settings: map[int]map[string]string{}, refuse: map[string]error{},
	}
	for i, name := range names {
		k.links[i+2] = &linkState{name: name, up: true, sent: 7}
		k.settings[i+2] = map[string]string{
			"arp": on, "multicast": on, "ipv4/arp_ignore": "0", "ipv4/forwarding": "1", "ipv4/rp_filter": "2", "ipv6/disable_ipv6": "0", "ipv6/accept_ra": "1",
		}
	}
	return k
}

func (k *fake) read(look look) (state, error) {
	s := state{links: map[int]linkState{}, chains: maps.Clone(k.chains), input: k.input, programs: map[spot]programState{}, settings: k.settings}
	for index, l := range k.links {
		s.links[index] = *l
	}
	for at, p := range k.programs {
		known := slices.ContainsFunc(look.programs, func(q program) bool { return q.String() == p.text })
		out := programState{runs: p.text, before: p.before, mine: p.process == k.process, dropped: p.dropped, passed: p.passed}
		if !known {
			out.runs = foreign
		}
		if !k.lie {
			s.programs[at] = out
		}
	}
	return s, k.refuse["read"]
}

func (k *fake) do(c change) error {
	if err := k.refuse[c.String()]; err != nil {
		return err
	}
	k.done = append(k.done, c.String())
	switch c := c.(type) {
	case setDown:
		return k.setUp(c.index, false)
	case setUp:
		return k.setUp(c.index, true)
	case setChain:
		k.chains[c.spot.chainName()] = chainState{there: true, device: c.device, hooked: true, rules: text(c.rules), base: c.base, based: true}
	case dropChain:
		delete(k.chains, c.name)
	case setInput:
		k.input = chainState{there: true, hooked: true, rules: text(c.rules)}
	case dropTables:
		k.chains, k.input = map[string]chainState{}, chainState{}
	case setProgram:
		k.programs[c.spot] = fakeProgram{text: c.program.String(), process: k.process}
	case dropProgram:
		delete(k.programs, c.spot)
	case set:
		k.settings[c.index][c.setting.name] = c.setting.want
	case dropAddress:
		k.links[c.index].addrs = slices.DeleteFunc(k.links[c.index].addrs, func(a netip.Prefix) bool { return a == c.addr })
	}
	return nil
}

func (k *fake) setUp(index int, up bool) error {
	l := k.links[index]
	if l == nil {
		return errors.New("no such device")
	}
	l.up = up
	return nil
}

func (k *fake) close() error { k.closed = true; return nil }

// String prints what stands, one line for each interface.
func (k *fake) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "input: %s\n", k.input.rules)
	for _, index := range slices.Sorted(maps.Keys(k.links)) {
		l := k.links[index]
		if index == loopbackIndex {
			continue
		}
		fmt.Fprintf(&out, "%s %s", l.name, map[bool]string{true: "up", false: "down"}[l.up])
		for _, dir := range directions() {
			at := spot{index, dir}
			if c, ok := k.chains[at.chainName()]; ok {
				fmt.Fprintf(&out, " | nft %s@%s %s", dir, c.device, c.rules)
			}
			if p, ok := k.programs[at]; ok {
				fmt.Fprintf(&out, " | tc %s", p.text)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(k.settings[index])) {
			fmt.Fprintf(&out, " %s=%s", name[strings.Index(name, "/")+1:], k.settings[index][name])
		}
		for _, a := range l.addrs {
			fmt.Fprintf(&out, " %s", a)
		}
		out.WriteString("\n")
	}
	return strings.TrimSpace(out.String())
}
