package fence

import (
	"fmt"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/guard"
)

// direction of frames, seen from the machine.
type direction string

// The directions, as nftables names its hooks.
const (
	egress  direction = "egress"
	ingress direction = "ingress"
)

// directions are both of them.
func directions() []direction { return []direction{egress, ingress} }

// spot is where one drop of each kind stands.
type spot struct {
	index int
	dir   direction
}

// chainName is that of the chain of a spot: it names the index, because that
// is what identifies an interface while it lives.
func (s spot) chainName() string { return fmt.Sprintf("%s-%d", s.dir, s.index) }

// spotOf is the reverse of chainName.
func spotOf(name string) (s spot, ok bool) {
	dir, index, found := strings.Cut(name, "-")
	if _, err := fmt.Sscanf(index, "%d", &s.index); err != nil || !found {
		return spot{}, false
	}
	s.dir = direction(dir)
	return s, (s.dir == egress || s.dir == ingress) && s.chainName() == name
}

// ruleKind says what a rule does.
type ruleKind uint8

const (
	dropAll    ruleKind = iota // count and drop
	passFlow                   // accept one flow of UDP
	passPort                   // input: accept what arrives at the interface for the port
	passDevice                 // input: accept what arrives at the interface
	dropPort                   // input: count and drop what arrives for the port
)

// rule is one rule as a value; the same value always makes the same rule.
type rule struct {
	kind  ruleKind
	flow  Flow
	index int
	port  guard.Port
}

// String prints the rule for people and for tests.
func (r rule) String() string {
	switch r.kind {
	case dropAll:
		return "drop"
	case passFlow:
		return "pass " + r.flow.String()
	case passDevice:
		return fmt.Sprintf("pass from #%d", r.index)
	case passPort:
		return fmt.Sprintf("pass %s/%d from #%d", r.port.Network, r.port.Port, r.index)
	case dropPort:
		return fmt.Sprintf("drop %s/%d", r.port.Network, r.port.Port)
	default:
		return fmt.Sprintf("rule(%d)", r.kind)
	}
}

// String prints the flow.
func (f Flow) String() string {
	if !f.Source.IsValid() {
		return "any>" + f.Dest.String()
	}
	return f.Source.String() + ">" + f.Dest.String()
}

// flows are those of a target that may pass in one direction.
func (t Target) flows(dir direction) []Flow {
	switch {
	case t.Role == guard.DiodeTX && dir == egress:
		return t.Send
	case t.Role == guard.DiodeRX && dir == ingress:
		return t.Receive
	default:
		return nil
	}
}

// rules are those of a chain before an interface.
func (t Target) rules(dir direction) []rule {
	out := make([]rule, 0, 4)
	for _, f := range t.flows(dir) {
		out = append(out, rule{kind: passFlow, flow: f})
	}
	return append(out, rule{kind: dropAll})
}

// inputRules keep our ports closed where nothing of ours listens.
func (p Plan) inputRules() []rule {
	var out []rule
	if !p.Shut {
		out = append(out, rule{kind: passDevice, index: loopbackIndex})
		for _, index := range p.Allowed {
			out = append(out, rule{kind: passDevice, index: index})
		}
		for _, t := range p.Targets {
			for _, f := range t.flows(ingress) {
				out = append(out, rule{kind: passPort, index: t.Index, port: guard.Port{Network: "udp", Port: f.Dest.Port()}})
			}
		}
	}
	for _, port := range p.Ports {
		out = append(out, rule{kind: dropPort, port: port})
	}
	return out
}

// loopbackIndex is the index of lo in every network namespace.
const loopbackIndex = 1

// everyRule lists each rule of the plan.
func (p Plan) everyRule() []rule {
	out := p.inputRules()
	for _, t := range p.Targets {
		for _, dir := range directions() {
			out = append(out, t.rules(dir)...)
		}
	}
	return out
}

// text prints rules on one line; two chains are the same when it is.
func text(rules []rule) string {
	words := make([]string, len(rules))
	for i, r := range rules {
		words[i] = r.String()
	}
	return strings.Join(words, "; ")
}

// program is an eBPF program as a value: what it lets pass, and that it drops
// the rest.
type program struct {
	dir   direction
	flows []Flow
}

// program is that of a target in one direction.
func (t Target) program(dir direction) program { return program{dir, t.flows(dir)} }

// String prints the program; the same text always makes the same program.
func (p program) String() string {
	var out strings.Builder
	out.WriteString(string(p.dir) + ": ")
	for _, f := range p.flows {
		out.WriteString("pass " + f.String() + "; ")
	}
	return out.String() + "drop"
}
