package guard

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnknownState is returned while the guard does not know the state of the
// interfaces or of the fence before them; the caller may try again when
// Snapshot says "ok".
var ErrUnknownState = errors.New("guard: state is unknown, nothing is opened until it is known again")

// ErrTripped is returned after something got past the fence, or could have,
// until an operator resets it.
var ErrTripped = errors.New("guard: tripped, nothing is opened")

// RefusedError says that the guard did not open a socket, because the
// interface that it would use has a role that does not allow it.
type RefusedError struct {
	Interface string // name of the interface; may be a rule when none matched
	Role      Role
	Reason    string // why the interface has that role
	Remedy    string // what an operator can do
}

// Error names the interface, its role, the reason and the remedy.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("guard: refused on %s (%s: %s): %s", e.Interface, e.Role, e.Reason, e.Remedy)
}

// RuleError says that a rule of the policy does not name exactly one usable
// interface. The guard does not start with such a rule.
type RuleError struct {
	List   string   // which list of the policy: monitoring_points, service_interfaces …
	Rule   string   // as written
	Reason string   // what is wrong with it
	Exists []string // the interfaces of this machine, with the names a rule may use
}

// Error names the rule and lists what exists.
func (e *RuleError) Error() string {
	return fmt.Sprintf("guard: %s %q %s; this machine has: %s",
		e.List, e.Rule, e.Reason, strings.Join(e.Exists, ", "))
}
