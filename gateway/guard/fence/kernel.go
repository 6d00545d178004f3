package fence

import (
	"fmt"
	"net/netip"
)

// foreign stands for what is none of our programs or rules.
const foreign = "?"

// kernel is what the fence is built in. read changes nothing; do carries out
// one change, or one group of changes that belong together.
type kernel interface {
	read(look look) (state, error)
	do(change change) error
	close() error
}

// look says what read looks at, and what it can recognise: what it finds but
// was not told of is reported as foreign.
type look struct {
	indexes  []int
	rules    []rule
	programs []program
	settings map[int][]setting
}

// state is what read found.
type state struct {
	links    map[int]linkState
	chains   map[string]chainState
	input    chainState
	programs map[spot]programState
	settings map[int]map[string]string // absent: this kernel does not have it
}

// linkState is one interface.
type linkState struct {
	name      string
	up        bool
	sent      uint64 // frames, by the driver's counter
	xdp       bool
	relatives string // master and children, sorted, in words; empty without
	addrs     []netip.Prefix
}

// chainState is one of our chains in nftables.
type chainState struct {
	there   bool
	device  string // the interface that it stands before
	hooked  bool   // the right hook and priority, and it drops what no rule takes
	rules   string // as text prints them; foreign ones as "?"
	base    uint64 // frames that the interface had sent when it was fenced
	based   bool   // base is known
	dropped uint64 // frames
}

// programState is what runs at one spot of tc.
type programState struct {
	// runs is the text of the program that runs first, when it is one of
	// those that were asked for; "?" for another, empty for none.
	runs string
	// mine: it is the one of this process, whose counters can be read.
	mine bool
	// before names what runs before it and could let frames pass.
	before          string
	dropped, passed uint64 // frames; of passed, segments of large ones count each
}

// change is one thing to do.
type change interface{ String() string }

type (
	// setDown sets an interface down; keep: its routes and permanent
	// neighbours are put back by setUp.
	setDown struct {
		index int
		keep  bool
	}
	// setUp sets an interface up.
	setUp struct{ index int }
	// setChain puts a chain before an interface, in place of an earlier one.
	setChain struct {
		spot   spot
		device string
		rules  []rule
		base   uint64
	}
	// dropChain removes a chain.
	dropChain struct{ name string }
	// setInput replaces the rules of the input chain.
	setInput struct{ rules []rule }
	// setProgram puts a program at a spot of tc, before every other.
	setProgram struct {
		spot    spot
		program program
	}
	// dropProgram removes ours from a spot of tc.
	dropProgram struct{ spot spot }
	// set gives a setting its value.
	set struct {
		index   int
		setting setting
	}
	// dropAddress takes an address away from an interface.
	dropAddress struct {
		index int
		addr  netip.Prefix
	}
	// dropTables removes both tables.
	dropTables struct{}
)

func (c setDown) String() string { return fmt.Sprintf("#%d down", c.index) }
func (c setUp) String() string   { return fmt.Sprintf("#%d up", c.index) }
func (c setChain) String() string {
	return fmt.Sprintf("chain %s on %s, %d sent: %s", c.spot.chainName(), c.device, c.base, text(c.rules))
}
func (c dropChain) String() string   { return "no chain " + c.name }
func (c setInput) String() string    { return "input: " + text(c.rules) }
func (c setProgram) String() string  { return fmt.Sprintf("#%d tc %s", c.spot.index, c.program) }
func (c dropProgram) String() string { return fmt.Sprintf("#%d tc %s: none", c.spot.index, c.spot.dir) }

func (c set) String() string {
	return fmt.Sprintf("#%d %s = %s", c.index, c.setting.name, c.setting.want)
}
func (c dropAddress) String() string { return fmt.Sprintf("#%d no address %s", c.index, c.addr) }
func (dropTables) String() string    { return "no tables" }
