package guard

import (
	"fmt"
	"slices"
	"strings"
)

// Role says what an interface may carry.
type Role uint8

// The roles, from nothing to the most specific. The zero value allows nothing.
const (
	Closed Role = iota
	Service
	Monitoring
	DiodeTX
	DiodeRX
)

// String returns the word that status and messages use.
func (r Role) String() string {
	switch r {
	case Closed:
		return "closed"
	case Service:
		return "service"
	case Monitoring:
		return "monitoring"
	case DiodeTX:
		return "diode-tx"
	case DiodeRX:
		return "diode-rx"
	default:
		return fmt.Sprintf("role(%d)", uint8(r))
	}
}

// MarshalText writes the word.
func (r Role) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the word.
func (r *Role) UnmarshalText(text []byte) error {
	for known := Closed; known <= DiodeRX; known++ {
		if known.String() == string(text) {
			*r = known
			return nil
		}
	}
	return fmt.Errorf("guard: %q is no role", text)
}

// Values of Policy.NewInterfaces.
const (
	NewClosed  = "closed"  // an interface that appears later carries nothing
	NewService = "service" // an interface that appears later may become a service interface
)

// Policy is the desired state of one node. Every list holds rules that each
// name one interface: its name, an alternative name, "mac:00:11:22:33:44:55"
// (the permanent address before the current one), or "path:pci-0000:03:00.1"
// (an element of the device path in sysfs, or the whole path).
type Policy struct {
	// Node is the node's name; only messages use it.
	Node string
	// Monitoring lists the monitoring points.
	Monitoring []string
	// Service lists the service interfaces. Empty means every interface that
	// is nothing else.
	Service []string
	// NewInterfaces is NewClosed or NewService; empty means NewClosed.
	NewInterfaces string
	// DiodeTX and DiodeRX list the interfaces of the one-way links that this
	// node sends to and receives from. Only a loopback interface may be named
	// here and in Service at once, because what it carries never leaves the
	// machine.
	DiodeTX, DiodeRX []string
	// SendEnds are the links that leave by the interfaces of DiodeTX, with
	// what the guard keeps in order for them. A link that is not named here
	// is neither kept nor examined.
	SendEnds []SendEnd
	// ReceiveEnds are the links that arrive at the interfaces of DiodeRX.
	ReceiveEnds []ReceiveEnd
	// Ports are those of the receivers: the fence drops what arrives for them
	// on any other interface than a service interface.
	Ports []Port
	// SingleBarrier accepts one egress drop instead of two, by an exception.
	SingleBarrier bool
	// Isolate moves monitoring points into a network namespace of their own.
	Isolate bool
}

// Equal reports whether p and o ask for the same state. Order and repetition
// of rules do not matter.
func (p Policy) Equal(o Policy) bool {
	return p.Node == o.Node && p.whenNew() == o.whenNew() &&
		sameSet(p.Monitoring, o.Monitoring) && sameSet(p.Service, o.Service) &&
		sameSet(p.DiodeTX, o.DiodeTX) && sameSet(p.DiodeRX, o.DiodeRX) &&
		sameEnds(p.SendEnds, o.SendEnds) && sameElements(p.ReceiveEnds, o.ReceiveEnds) && sameElements(p.Ports, o.Ports) &&
		p.SingleBarrier == o.SingleBarrier && p.Isolate == o.Isolate
}

// sameElements compares without order and repetition.
func sameElements[T comparable](a, b []T) bool {
	in := func(all []T) func(T) bool { return func(x T) bool { return !slices.Contains(all, x) } }
	return !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

// Fenced reports whether a node with this policy has interfaces that a fence
// must stand before. A loopback interface needs none: what it carries never
// leaves the machine.
func (p Policy) Fenced(loopback func(rule string) bool) bool {
	return slices.ContainsFunc(slices.Concat(p.Monitoring, p.DiodeTX, p.DiodeRX), func(rule string) bool { return !loopback(rule) })
}

// String prints the policy on one line.
func (p Policy) String() string {
	service := "all that are nothing else"
	if len(p.Service) > 0 {
		service = list(p.Service)
	}
	return fmt.Sprintf("node %q: monitoring %s; service %s; diode-tx %s; diode-rx %s; new interfaces %s",
		p.Node, list(p.Monitoring), service, list(p.DiodeTX), list(p.DiodeRX), p.whenNew()) + endsText(p.SendEnds)
}

func (p Policy) whenNew() string {
	if p.NewInterfaces == "" {
		return NewClosed
	}
	return p.NewInterfaces
}

// check refuses a policy that means nothing on any machine.
func (p Policy) check() error {
	if w := p.whenNew(); w != NewClosed && w != NewService {
		return fmt.Errorf("guard: new_interfaces %q: want %q or %q", w, NewClosed, NewService)
	}
	for _, rules := range [][]string{p.Monitoring, p.Service, p.DiodeTX, p.DiodeRX} {
		if i := slices.IndexFunc(rules, func(r string) bool { return strings.TrimSpace(r) == "" }); i >= 0 {
			return fmt.Errorf("guard: rule %d of %s is empty: name an interface", i+1, list(rules))
		}
	}
	return p.checkEnds()
}

func list(rules []string) string {
	if len(rules) == 0 {
		return "none"
	}
	return strings.Join(rules, ", ")
}

func sameSet(a, b []string) bool {
	return slices.Equal(set(a), set(b))
}

func set(a []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(a)))
}
