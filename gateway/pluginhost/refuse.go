package pluginhost

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/sluice-gateway/sluice/gateway/pluginhost/sandbox"
)

// refuse says why a component may not run on this machine, or nil. Control groups bound, they do not confine: what is
// missing of them is named elsewhere and is no reason.
func (h *Host) refuse(g *ground, kind, name, component string) error {
	if h.cfg.Unconfined {
		return nil
	}
	if reason, missing := g.missing[sandbox.Filter]; missing {
		return &StartError{Kind: kind, Name: name, Reason: "it would run without " + sandbox.Filter + ", which nothing can stand in for", Err: errors.New(reason)}
	}
	for _, layer := range []string{sandbox.ResourceLimits, sandbox.NoPrivileges} {
		if reason, missing := g.missing[layer]; missing {
			return &StartError{Kind: kind, Name: name, Reason: "it would run without " + layer, Err: errors.New(reason)}
		}
	}
	without := g.without()
	exempt := h.cfg.Sandbox.Exempt
	if len(without) == 0 || (exempt != nil && exempt(component)) {
		return nil
	}
	first := without[0]
	return &StartError{
		Kind: kind, Name: name, Reason: "it would run without " + strings.Join(without, ", "),
		Err: fmt.Errorf("%s: %s: %s, or accept less by %s", first, g.missing[first], remedy(first), exception(kind, component)),
	}
}

// remedy says what to change on the machine.
func remedy(layer string) string {
	switch {
	case layer == sandbox.Landlock:
		return "boot a kernel that has it (Linux 5.13, lsm= with landlock)"
	case os.Geteuid() == 0:
		return "leave root its capabilities, run the gateway as an ordinary user"
	case layer == sandbox.EmptyRoot:
		return "run as root, allow mounts in user namespaces"
	default:
		return "run as root, allow them"
	}
}

// exception shows what to write.
func exception(kind, component string) string {
	on := kind + "." + component
	if component == "" {
		on = "node.NAME"
	}
	return fmt.Sprintf(`exception "…" { allows = "degraded_sandbox"  on = %s … }`, on)
}
